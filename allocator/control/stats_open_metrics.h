// SPDX-License-Identifier: Apache-2.0
//
// The statistics in the OpenMetrics text format, which Prometheus and its like read: a metric
// family for each number of mallctl's stats.* and spanmalloc.*, with the help and the unit of its
// row. Called by stats_print.
//
// A family's name is the row's, with `spanmalloc_` before and `_<unit>` behind it; times are in
// seconds. Arenas and size classes are labels: arena="0", size="32".
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_STATS_OPEN_METRICS_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_STATS_OPEN_METRICS_H_

#include "allocator/control/stats_reader.h"
#include "allocator/telemetry/stats_writer.h"

namespace spanmalloc {

void PrintStatsOpenMetrics(const StatsReader& reader, const StatsParts& parts, StatsWriter& out);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_STATS_OPEN_METRICS_H_

// SPDX-License-Identifier: Apache-2.0
//
// The statistics as JSON, in the structure of jemalloc's: the tree of mallctl's names, with arrays
// where a size class's index stands. What has no value is left out. Called by stats_print.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_STATS_JSON_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_STATS_JSON_H_

#include "allocator/control/stats_reader.h"
#include "allocator/telemetry/stats_writer.h"

namespace spanmalloc {

void PrintStatsJson(const StatsReader& reader, const StatsParts& parts, StatsWriter& out);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_STATS_JSON_H_

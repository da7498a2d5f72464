// SPDX-License-Identifier: Apache-2.0
//
// The statistics as text: jemalloc's headings in jemalloc's order, for the scripts that look for
// them, and at the end tables of our own. Called by stats_print.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_STATS_TEXT_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_STATS_TEXT_H_

#include "allocator/control/stats_reader.h"
#include "allocator/telemetry/stats_writer.h"

namespace spanmalloc {

void PrintStatsText(const StatsReader& reader, const StatsParts& parts, StatsWriter& out);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_STATS_TEXT_H_

// SPDX-License-Identifier: Apache-2.0
//
// The statistics as JSON, in the structure of jemalloc's; fields whose value isn't known are left
// out. Called by control/stats_print.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_JSON_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_JSON_H_

#include "allocator/telemetry/stats_dump.h"
#include "allocator/telemetry/stats_writer.h"

namespace spanmalloc {

void PrintStatsJson(const StatsDump& dump, const StatsParts& parts, StatsWriter& out);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_JSON_H_

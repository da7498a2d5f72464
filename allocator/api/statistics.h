// SPDX-License-Identifier: Apache-2.0
//
// The allocator's numbers for the entry points that report them.
#ifndef SPANMALLOC_ALLOCATOR_API_STATISTICS_H_
#define SPANMALLOC_ALLOCATOR_API_STATISTICS_H_

#include "allocator/telemetry/stats_snapshot.h"

namespace spanmalloc {

// Takes a snapshot now. Thread-safe; all zeros from inside a slow path.
void TakeStatistics(StatsSnapshot* snapshot);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_STATISTICS_H_

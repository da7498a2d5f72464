// SPDX-License-Identifier: Apache-2.0
//
// The allocator's numbers for the entry points that report them.
#ifndef SPANMALLOC_ALLOCATOR_API_STATISTICS_H_
#define SPANMALLOC_ALLOCATOR_API_STATISTICS_H_

#include "allocator/api/control_instance.h"
#include "allocator/telemetry/stats_snapshot.h"

namespace spanmalloc {

// Runs use(const StatsSnapshot&) with the numbers of this moment; `use` allocates nothing. Not run
// from inside a slow path. Thread-safe; takes little of the stack.
template <typename Use>
void WithStatistics(Use use) {
  if (control().target().Initialize()) control().WithNumbersNow(use);
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_STATISTICS_H_

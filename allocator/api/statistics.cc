// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/statistics.h"

#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/os/ranked_lock.h"

namespace spanmalloc {
namespace {

constinit os::RankedLock collector_lock{LockRank::kControl};
constinit StatsCollector collector ABSL_GUARDED_BY(collector_lock);

}  // namespace

void TakeStatistics(StatsSnapshot* snapshot) {
  *snapshot = {};
  SlowPathScope scope;
  if (scope.nested() || !runtime.EnsureInitialized()) return;
  os::LockHolder hold(collector_lock);
  collector.Collect({runtime.metadata, runtime.page_map, runtime.page_heap, runtime.central,
                     runtime.registry},
                    snapshot);
}

}  // namespace spanmalloc

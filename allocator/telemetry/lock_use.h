// SPDX-License-Identifier: Apache-2.0
//
// How often locks were taken, and what threads waited for them: numbers of one moment, by kind of
// lock, taken with the snapshot of the statistics and kept beside it, since they are the whole
// process's. mallctl's stats.mutexes.* and the like read them.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_LOCK_USE_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_LOCK_USE_H_

#include <cstddef>
#include <cstdint>

#include "allocator/os/lock_stats.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/telemetry/stats_snapshot.h"

namespace spanmalloc {

struct LockUse {
  uint64_t taken;
  os::LockWaits waits;

  uint64_t spun() const { return waits.spun; }
  uint64_t slept() const { return waits.slept; }
  // Who finds a lock held isn't the one who had it last.
  uint64_t switches() const { return waits.spun + waits.slept; }
  uint64_t sleep_ns() const { return waits.sleep_ns; }
  uint64_t max_ns() const { return waits.max_ns; }
  uint64_t max_waiting() const { return waits.max_waiting; }
};

class LockUseTable {
 public:
  // Takes the numbers anew. `control`: the control floor's own lock.
  void Take(const StatsSources& sources, const os::RankedLock& control);

  // Counts from what was taken last on.
  void Reset();

  // Of the locks of a rank, and of those of the central free lists of a size class.
  LockUse Of(LockRank rank) const;
  LockUse OfClass(size_t size_class) const { return uses_[os::KindOfClass(size_class)]; }

 private:
  LockUse uses_[os::kLockKinds] = {};  // since the last Reset
  LockUse base_[os::kLockKinds] = {};  // what had been counted by then
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_LOCK_USE_H_

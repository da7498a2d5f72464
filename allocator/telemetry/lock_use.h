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
  os::LockAcquisitions acquired;
  os::LockWaits waits;

  uint64_t taken() const { return acquired.all; }
  uint64_t spun() const { return acquired.spun; }
  uint64_t slept() const { return acquired.slept; }
  // Who finds a lock held isn't the one who had it last.
  uint64_t switches() const { return acquired.spun + acquired.slept; }
  uint64_t sleep_ns() const { return waits.sleep_ns; }
  uint64_t max_ns() const { return waits.max_ns; }
  uint64_t max_waiting() const { return waits.max_waiting; }
};

class LockUseTable {
 public:
  // Takes the numbers anew. `control`: the control floor's own lock.
  void Take(const StatsSources& sources, const os::RankedLock& control);

  // Of the locks of a rank, and of those of the central free lists of a size class.
  LockUse Of(LockRank rank) const;
  LockUse OfClass(size_t size_class) const { return OfKind(os::KindOfClass(size_class)); }

  // The same without the locks of explicit arenas; sleeps are counted for all together.
  LockUse OfAutomatic(LockRank rank) const { return WithoutArenas(os::KindOf(rank)); }
  LockUse OfAutomaticClass(size_t size_class) const {
    return WithoutArenas(os::KindOfClass(size_class));
  }

 private:
  LockUse OfKind(size_t kind) const { return {all_[kind], waits_[kind]}; }
  LockUse WithoutArenas(size_t kind) const;

  os::LockAcquisitions all_[os::kLockKinds] = {};
  os::LockAcquisitions of_arenas_[os::kLockKinds] = {};  // of them, explicit arenas'
  os::LockWaits waits_[os::kLockKinds] = {};
};

// Has all locks counted anew. Requires: `control`, as above, is held.
void ResetLockUse(const StatsSources& sources, os::RankedLock& control)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(control);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_LOCK_USE_H_

// SPDX-License-Identifier: Apache-2.0
//
// The control floor's state: the numbers of the current epoch and the settings that can be
// written. mallctl and the statistics dump read it; the entry points' floor owns the one instance.
// One lock, the first in rank order, so that numbers may be taken from every floor under it.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_CONTROL_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_CONTROL_H_

#include <errno.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "allocator/control/control_target.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/telemetry/arena_snapshots.h"
#include "allocator/telemetry/cpu_lists.h"
#include "allocator/telemetry/lock_use.h"
#include "allocator/telemetry/resident_memory.h"

namespace spanmalloc {

inline constexpr char kVersion[] = "5.3.0-spanmalloc-0.1";

struct ControlState {
  uint64_t start_ns = 0;  // 0: not started
  int64_t dirty_decay_ms = 0;
  int64_t muzzy_decay_ms = 0;
  int64_t default_dirty_decay_ms = 0;  // of arenas made from now on
  int64_t default_muzzy_decay_ms = 0;

  StatsSnapshot snapshot = {};  // the current epoch's
  ArenaSnapshots arenas;        // the same of each arena
  uint64_t epoch = 0;           // 0: none yet
  LockUseTable locks = {};      // at the epoch
  CacheDepth caches = {};       // the threads' and CPUs', at the epoch
  CacheDepth cpu_caches = {};   // of them, the CPUs'
  RssTable rss = {};            // measured in rss_epoch
  uint64_t rss_epoch = 0;
  FreeExtents extents = {};  // of all arenas, measured in extents_epoch
  uint64_t extents_epoch = 0;
  HugePageCounts huge_pages = {};  // of all arenas, measured in huge_pages_epoch
  uint64_t huge_pages_epoch = 0;
  CpuLists cpus;  // taken in cpus_epoch
  uint64_t cpus_epoch = 0;
  uint64_t uptime_ns = 0;      // at the epoch
  uint64_t zero_reallocs = 0;  // at the epoch

  // What the numbers of arenas and CPUs take, and has them copied to as much memory: a copy of the
  // state then keeps its numbers.
  size_t BytesApart() const { return arenas.Bytes() + cpus.Bytes(); }
  void MoveApart(void* memory) {
    const size_t of_arenas = arenas.Bytes();
    arenas.MoveTo(memory);
    cpus.MoveTo(static_cast<char*>(memory) + of_arenas);
  }
};

// What a Control keeps its numbers in, guarded by its lock. All zero at first and large; apart from
// the Control, whose file's pages it would fill.
struct ControlNumbers {
  ControlState state;
  StatsCollector collector;
  StatsSnapshot now = {};
};

class Control {
 public:
  constexpr Control(const ControlTarget& target, ControlNumbers& numbers)
      : target_(target), numbers_(numbers) {}
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // Puts the options into force, once they are loaded. The numbers take them over when they are
  // first asked for, and most programs don't touch them. Call once, before the other calls, inside
  // the allocator (see ControlTarget::run_inside).
  void Start() ABSL_LOCKS_EXCLUDED(lock_);

  const ControlTarget& target() const { return target_; }

  // Runs use(ControlState&), which returns an errno number, under the lock and with the numbers of
  // some epoch in the state. Returns what it returns; EAGAIN from a signal handler that interrupted
  // the allocator.
  template <typename Use>
  int WithState(Use use) ABSL_LOCKS_EXCLUDED(lock_) {
    int result = EAGAIN;
    target_.RunInside([&] {
      os::LockHolder hold(lock_);
      if (numbers_.state.epoch == 0) FirstEpoch(&numbers_.state);
      result = use(numbers_.state);
    });
    return result;
  }

  // Takes all numbers anew. Requires: inside WithState.
  void NextEpoch(ControlState* state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // Where the resident memory is: measured when it is first asked for in an epoch. Requires: inside
  // WithState.
  const RssTable& Rss(ControlState* state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // An arena's numbers of the current epoch; all zero if there was no such arena. Requires: inside
  // WithState.
  const StatsSnapshot& ArenaAt(const ControlState& state, size_t index) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // The runs of free pages of an arena or of all, the same way; of all of them measured when one is
  // first asked for in an epoch. Requires: inside WithState.
  const FreeExtents& Extents(ControlState* state, size_t arena)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // The huge pages, likewise. Requires: inside WithState.
  const HugePageCounts& HugePages(ControlState* state, size_t arena)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // What the lists of each CPU have, taken when it is first asked for, and from then on in every
  // epoch; nullptr if there is no memory for that, or the state is a copy in which they weren't.
  // Requires: inside WithState.
  const CpuLists* Cpus(ControlState* state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  // Has all locks counted anew. Requires: inside WithState.
  void ResetLocks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) { ResetLockUse(target_.sources, lock_); }

  // Runs use(const StatsSnapshot&) under the lock with the numbers of this moment, and leaves the
  // epoch as it is. They lie here, since they would fill much of a small stack. False, and nothing
  // run, from a signal handler that interrupted the allocator.
  template <typename Use>
  bool WithNumbersNow(Use use) ABSL_LOCKS_EXCLUDED(lock_) {
    return target_.RunInside([&] {
      os::LockHolder hold(lock_);
      numbers_.collector.Collect(target_.sources, &numbers_.now);
      use(std::as_const(numbers_.now));
    });
  }

  // Around fork().
  void LockForFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(lock_) { lock_.Lock(); }
  void UnlockForFork() ABSL_UNLOCK_FUNCTION(lock_) { lock_.Unlock(); }
  // In the child, instead of UnlockForFork.
  void ResetAfterFork() ABSL_UNLOCK_FUNCTION(lock_) ABSL_NO_THREAD_SAFETY_ANALYSIS;

 private:
  void FirstEpoch(ControlState* state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  const ControlTarget target_;
  os::RankedLock lock_{LockRank::kControl};
  uint64_t start_ns_ ABSL_GUARDED_BY(lock_) = 0;
  ControlNumbers& numbers_ ABSL_GUARDED_BY(lock_);
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_CONTROL_H_

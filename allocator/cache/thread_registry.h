// SPDX-License-Identifier: Apache-2.0
//
// All live thread states: made when a thread first misses, returned when it ends, walked for
// statistics and at fork. Beyond a number of threads the next ones get none, and share caches of
// the CPUs (cpu_caches.h). A few of ended threads are kept, with what they cache, for the next
// ones; where as many were kept for a while, they go back. One lock, before every thread state's
// own.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_THREAD_REGISTRY_H_
#define SPANMALLOC_ALLOCATOR_CACHE_THREAD_REGISTRY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/cache/cpu_caches.h"
#include "allocator/cache/thread_state.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/util/intrusive_list.h"

namespace spanmalloc {

class ThreadRegistry {
 public:
  explicit constexpr ThreadRegistry(const CacheContext& context)
      : context_(context), cpu_caches_(context) {}

  // How many threads may have states. Others that come meanwhile share, if they can.
  void SetOwnStates(size_t count) { own_states_.store(count, std::memory_order_relaxed); }

  // Whether as many have.
  bool Crowded() const {
    return threads() - sharing() >= own_states_.load(std::memory_order_relaxed);
  }

  // Whether there are more threads than may have states. Then those share, too, that come in short
  // turns (turns.h).
  bool TakesTurns() const { return threads() > own_states_.load(std::memory_order_relaxed); }

  // The calling thread, which has no state, shares the CPUs' caches from now on. False if it can't.
  bool BeginSharing() ABSL_LOCKS_EXCLUDED(lock_);
  void EndSharing() ABSL_LOCKS_EXCLUDED(lock_);

  // A state for the calling thread, whose variables are `owner` (nullptr: its cache isn't to be
  // taken back); nullptr if out of memory.
  ThreadState* Create(ThreadLocals* owner = nullptr) ABSL_LOCKS_EXCLUDED(lock_);

  // A state of explicit arena `arena`, which exists, for the calling thread, beside the one it has;
  // nullptr if out of memory.
  ThreadState* CreateFor(unsigned arena, ThreadLocals* owner) ABSL_LOCKS_EXCLUDED(lock_);

  // Returns all that `state` holds, or keeps it for another thread; `state` is the caller's no
  // more.
  void Destroy(ThreadState* state) ABSL_LOCKS_EXCLUDED(lock_);

  // Adds the number of objects that threads cache in each class, those of explicit arenas included,
  // to counts[class], and, where asked for, how many they may to limits[class]. Returns the number
  // of threads. Kept states are returned first.
  size_t AddCounts(size_t* counts, size_t* limits = nullptr) ABSL_LOCKS_EXCLUDED(lock_) {
    return AddCounts([counts](unsigned) { return counts; }, limits);
  }

  // The same, what threads cache of arena `i` to counts_of(i).
  template <typename CountsOf>
  size_t AddCounts(CountsOf counts_of, size_t* limits = nullptr) ABSL_LOCKS_EXCLUDED(lock_) {
    ReturnKept();
    os::LockHolder hold(lock_);
    ForEach([&](ThreadState* state) { state->AddCounts(counts_of(state->arena()), limits); });
    cpu_caches_.AddCounts(counts_of(0), limits);
    return threads();
  }

  // What they share.
  const CacheBudget& budget() const { return context_.budget; }

  // Adds how often thread states' locks were taken, those of threads that ended included; and has
  // them counted anew.
  void AddStateLocks(os::LockAcquisitions* sum) ABSL_LOCKS_EXCLUDED(lock_);
  void ResetStateLocks() ABSL_LOCKS_EXCLUDED(lock_);

  // A tick: returns as many kept states as weren't wanted since the last one.
  void ReturnIdle() ABSL_LOCKS_EXCLUDED(lock_);

  // Returns all kept states.
  void ReturnKept() ABSL_LOCKS_EXCLUDED(lock_);

  // Threads with a state and such that share.
  size_t threads() const { return threads_.load(std::memory_order_relaxed); }
  size_t sharing() const { return sharing_.load(std::memory_order_relaxed); }
  uint64_t created() const { return created_.load(std::memory_order_relaxed); }

  // Around fork(): holds this lock and every state's.
  void LockAll() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void UnlockAll() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  // In the child: frees the locks and disowns every state but `own` (which may be nullptr); their
  // threads don't exist here. `shares`: the calling thread shares the CPUs' caches.
  void ResetAfterFork(ThreadState* own, bool shares = false) ABSL_NO_THREAD_SAFETY_ANALYSIS;

  // Returns what the states disowned by a fork hold. Cheap when there are none.
  void AdoptOrphans() {
    if (ABSL_PREDICT_FALSE(has_orphans_.load(std::memory_order_relaxed))) DestroyOrphans();
  }

  // Calls visit(ThreadState*) for every live state.
  template <typename Visit>
  void ForEach(Visit visit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    for (ThreadState* state = live_.front(); state != nullptr; state = state->next) visit(state);
  }
  CpuCaches& cpu_caches() { return cpu_caches_; }
  os::RankedLock& lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }

  bool CheckInvariants() ABSL_LOCKS_EXCLUDED(lock_);

 private:
  static constexpr size_t kMaxKept = 8;
  static constexpr size_t kMaxKeptBytes = 128 * 1024;  // that each of them may cache

  void DestroyOrphans() ABSL_LOCKS_EXCLUDED(lock_);
  void Return(ThreadState* state) ABSL_LOCKS_EXCLUDED(lock_);
  void ReturnKept(size_t count) ABSL_LOCKS_EXCLUDED(lock_);
  void AddLive(ThreadState* state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  ThreadState* TakeKept() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteThreads(size_t threads) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  const CacheContext context_;
  CpuCaches cpu_caches_;
  os::RankedLock lock_{LockRank::kThreadRegistry};
  // States of threads, and those that threads have of arenas.
  IntrusiveList<ThreadState> live_ ABSL_GUARDED_BY(lock_);
  IntrusiveList<ThreadState> orphans_ ABSL_GUARDED_BY(lock_);
  os::LockAcquisitions state_locks_ ABSL_GUARDED_BY(lock_) = {};  // of states that are gone
  IntrusiveList<ThreadState> kept_ ABSL_GUARDED_BY(lock_);
  size_t kept_count_ ABSL_GUARDED_BY(lock_) = 0;
  size_t kept_low_ ABSL_GUARDED_BY(lock_) = 0;  // the least since the last tick
  std::atomic<bool> has_orphans_{false};
  std::atomic<size_t> threads_{0};
  std::atomic<size_t> sharing_{0};
  std::atomic<size_t> own_states_{~size_t{0}};
  std::atomic<uint64_t> created_{0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_THREAD_REGISTRY_H_

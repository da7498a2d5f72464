// SPDX-License-Identifier: Apache-2.0
//
// The allocator's only lock: one 32-bit word, a short spin, then a futex wait. A waiter sleeps
// rather than spins, so a preempted holder costs its time slice to nobody. Debug builds check that
// locks are taken in the order of util/lock_rank.h. Constant-initialised; not recursive.
//
// While the process has a single thread, as the C library knows, the word is read and stored
// without a read-modify-write: nobody else is there, and a signal handler that interrupts it leaves
// the lock as it found it. A lock may be taken before there is a second thread and released after.
#ifndef SPANMALLOC_ALLOCATOR_OS_RANKED_LOCK_H_
#define SPANMALLOC_ALLOCATOR_OS_RANKED_LOCK_H_

#include <sys/single_threaded.h>

#include <atomic>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "allocator/os/lock_stats.h"
#include "allocator/util/attributes.h"
#include "allocator/util/lock_rank.h"
#include "allocator/util/relaxed.h"
#include "allocator/util/sharing_counts.h"

namespace spanmalloc::os {

class ABSL_LOCKABLE RankedLock {
 public:
  explicit constexpr RankedLock(LockRank rank) : rank_(rank), kind_(KindOf(rank)) {}
  RankedLock(const RankedLock&) = delete;
  RankedLock& operator=(const RankedLock&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    if (Alone() && word_.load(std::memory_order_relaxed) == kFree) {
      word_.store(kHeld, std::memory_order_relaxed);
      Count();
      return NoteAcquired();
    }
    uint32_t expected = kFree;
    // Acquire: pairs with the release in Unlock.
    if (ABSL_PREDICT_FALSE(!word_.compare_exchange_strong(
            expected, kHeld, std::memory_order_acquire, std::memory_order_relaxed))) {
      NoteContended();
      LockSlow();
    }
    Count();
    NoteAcquired();
  }

  bool TryLock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    uint32_t expected = kFree;
    // Acquire: pairs with the release in Unlock.
    if (!word_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
      return false;
    }
    Count();
    NoteAcquired();
    return true;
  }

  void Unlock() ABSL_UNLOCK_FUNCTION() {
    NoteReleased();
    if (Alone()) return word_.store(kFree, std::memory_order_relaxed);
    // Release: pairs with the acquire of the next holder.
    if (ABSL_PREDICT_FALSE(word_.exchange(kFree, std::memory_order_release) == kContended)) {
      Wake();
    }
  }

  LockRank rank() const { return rank_; }

  // As what sleeps are counted: as those of its rank, unless this is called, before the lock is
  // first taken.
  void SetKind(LockKind kind) { kind_ = kind; }
  LockKind kind() const { return kind_; }

  // How often it was taken.
  LockAcquisitions acquisitions() const {
    return {RelaxedLoad(taken_), RelaxedLoad(spun_), RelaxedLoad(slept_)};
  }

  // Begins to count anew. Requires: the lock is held.
  void ResetAcquisitions() {
    RelaxedStore(taken_, uint64_t{0});
    RelaxedStore(spun_, 0u);
    RelaxedStore(slept_, 0u);
  }

  // For a forked child that inherited the lock from the thread which forked: no other thread
  // exists, so the word is simply set free. Requires: the forking thread held it.
  void ResetAfterFork() {
    NoteReleased();
    word_.store(kFree, std::memory_order_relaxed);
  }

  // Whether the process has no other thread. Threads that start later see what was stored before.
  static bool Alone() { return __libc_single_threaded != 0; }

 private:
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kHeld = 1;
  static constexpr uint32_t kContended = 2;  // held, and somebody may be asleep on the word

  // The holder, on the cache line that it has anyway, in one instruction where the machine has it.
  void Count() {
#if defined(__x86_64__)
    __asm__("incq %0" : "+m"(taken_));
#else
    RelaxedStore(taken_, taken_ + 1);
#endif
  }

  void LockSlow();
  void CountSpun() { RelaxedStore(spun_, spun_ + 1); }
  void Wake();
#ifdef SPANMALLOC_COUNTING
  void NoteContended() { counter_.NoteContended(); }
  void NoteAcquired() { counter_.NoteAcquired(); }
  void NoteReleased() { counter_.NoteReleased(); }
#else
  void NoteContended() {}
#ifdef NDEBUG
  void NoteAcquired() {}
  void NoteReleased() {}
#else
  void NoteAcquired();
  void NoteReleased();
#endif
#endif

  std::atomic<uint32_t> word_{kFree};
  const LockRank rank_;
  LockKind kind_;
  uint64_t taken_ = 0;
  // Of those, with a wait; written by the holder, too.
  uint32_t spun_ = 0;
  uint32_t slept_ = 0;
#ifdef SPANMALLOC_COUNTING
  LockCounter counter_{rank_};
#endif
};

class ABSL_SCOPED_LOCKABLE LockHolder {
 public:
  explicit LockHolder(RankedLock& lock) ABSL_EXCLUSIVE_LOCK_FUNCTION(lock) : lock_(lock) {
    lock_.Lock();
  }
  ~LockHolder() ABSL_UNLOCK_FUNCTION() { lock_.Unlock(); }
  LockHolder(const LockHolder&) = delete;
  LockHolder& operator=(const LockHolder&) = delete;

 private:
  RankedLock& lock_;
};

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_RANKED_LOCK_H_

// SPDX-License-Identifier: Apache-2.0
//
// How locks are counted. Each counts how often it was taken, and by threads that found it held.
// What those slept is counted for locks of a kind together: those of a rank, and of the central
// free lists those of a size class. RankedLock writes, without a lock; the statistics read.
#ifndef SPANMALLOC_ALLOCATOR_OS_LOCK_STATS_H_
#define SPANMALLOC_ALLOCATOR_OS_LOCK_STATS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/params/size_class_table.h"
#include "allocator/util/lock_rank.h"

namespace spanmalloc::os {

// Kinds of locks: the ranks, then the size classes of central free lists. All page heaps' locks are
// of one kind.
using LockKind = uint8_t;
constexpr LockKind KindOf(LockRank rank) {
  return static_cast<LockKind>(rank == LockRank::kArenaHeap ? LockRank::kPageHeap : rank);
}
constexpr LockKind KindOfClass(size_t size_class) {
  return static_cast<LockKind>(kLockRankCount + size_class);
}
inline constexpr size_t kLockKinds = kLockRankCount + kSizeClassEnd;
static_assert(kLockKinds <= 256);

// How often a lock, or several, were taken.
struct LockAcquisitions {
  uint64_t all;
  uint64_t spun;   // of them, after a short wait
  uint64_t slept;  // of them, after a sleep

  void Add(const LockAcquisitions& other) {
    all += other.all;
    spun += other.spun;
    slept += other.slept;
  }
};

// The sleeps of threads that waited for locks of one kind.
struct LockWaits {
  uint64_t sleep_ns;     // all together
  uint64_t max_ns;       // the longest
  uint32_t max_waiting;  // threads that slept at once, at most
};

LockWaits LockWaitsOf(LockKind kind);

// Begins to count anew, for every kind.
void ResetLockWaits();

// In a forked child: nobody sleeps.
void ResetLockWaitsAfterFork();

// For RankedLock: a thread is going to sleep; it got the lock after `ns` of sleep.
void NoteSleeps(LockKind kind);
void NoteSlept(LockKind kind, uint64_t ns);

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_LOCK_STATS_H_

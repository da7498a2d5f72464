// SPDX-License-Identifier: Apache-2.0
//
// What threads waited for locks: counted where a thread finds a lock held, and nowhere else. Locks
// of a kind are counted together: those of a rank, and of the central free lists those of a size
// class. RankedLock writes, without a lock; the statistics read.
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

// The waits for one kind of locks.
struct LockWaits {
  uint64_t spun;         // got the lock after a short wait
  uint64_t slept;        // got it after sleeping
  uint64_t sleep_ns;     // for how long, together
  uint64_t max_ns;       // the longest
  uint32_t max_waiting;  // threads that slept at once, at most
};

LockWaits LockWaitsOf(LockKind kind);

// Forgets the longest sleep and the most sleepers, of every kind.
void ResetLockMaxima();

// In a forked child: nobody sleeps.
void ResetLockWaitsAfterFork();

// For RankedLock: a thread got a lock that was held; it is going to sleep; it got it after `ns` of
// sleep.
void NoteSpun(LockKind kind);
void NoteSleeps(LockKind kind);
void NoteSlept(LockKind kind, uint64_t ns);

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_LOCK_STATS_H_

// SPDX-License-Identifier: Apache-2.0
//
// The waiting half of ranked_lock.h, and the order check of debug builds.
#include <linux/futex.h>

#include "allocator/os/clock.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/os/raw_output.h"
#include "allocator/os/system_call.h"

namespace spanmalloc::os {
namespace {

// Long enough for a holder on another CPU to finish a batch (about 100 ns), short enough to lose
// little when the holder isn't running.
constexpr int kSpins = 60;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("yield");
#endif
}

}  // namespace

void RankedLock::LockSlow() {
  for (int i = 0; i < kSpins; ++i) {
    Pause();
    uint32_t expected = kFree;
    if (word_.load(std::memory_order_relaxed) == kFree &&
        // Acquire: pairs with the release in Unlock.
        word_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
      return CountSpun();
    }
  }
  // Acquire, here and below: pairs with the release in Unlock.
  if (word_.exchange(kContended, std::memory_order_acquire) == kFree) return CountSpun();
  NoteSleeps(kind_);
  const uint64_t start = MonotonicNs();
  do {
    SystemCall(SYS_futex, AsArgument(&word_), FUTEX_WAIT_PRIVATE, kContended);
  } while (word_.exchange(kContended, std::memory_order_acquire) != kFree);
  RelaxedStore(slept_, slept_ + 1);
  NoteSlept(kind_, MonotonicNs() - start);
}

void RankedLock::Wake() { SystemCall(SYS_futex, AsArgument(&word_), FUTEX_WAKE_PRIVATE, 1); }

#if !defined(NDEBUG) && !defined(SPANMALLOC_COUNTING)
namespace {

// How many locks of each rank this thread holds.
thread_local uint32_t held_count[kLockRankCount];

}  // namespace

void RankedLock::NoteAcquired() {
  for (int rank = static_cast<int>(rank_) + 1; rank < kLockRankCount; ++rank) {
    if (held_count[rank] != 0)
      DieWith("spanmalloc: internal error: lock taken out of rank order\n");
  }
  ++held_count[static_cast<int>(rank_)];
}

void RankedLock::NoteReleased() { --held_count[static_cast<int>(rank_)]; }
#endif

}  // namespace spanmalloc::os

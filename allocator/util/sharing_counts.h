// SPDX-License-Identifier: Apache-2.0
//
// Counts of what threads write to shared memory, for docs/scaling.md. They exist in builds with
// --config=counting alone, which tools/scaling_counts makes; in every other build the functions
// do nothing and the rest isn't there.
//
// In a counting build each thread counts as a CPU of its own (os::CurrentCpu), so that a machine
// with few CPUs shows what one with as many CPUs as threads would share.
#ifndef SPANMALLOC_ALLOCATOR_UTIL_SHARING_COUNTS_H_
#define SPANMALLOC_ALLOCATOR_UTIL_SHARING_COUNTS_H_

#include <cstdint>

#include "allocator/util/attributes.h"

#ifdef SPANMALLOC_COUNTING
#include <atomic>
#include <cstddef>

#include "allocator/util/lock_rank.h"
#endif

namespace spanmalloc {

enum class CountedEvent : uint8_t {
  kOperation,         // a call of malloc's or free's fast path
  kSlowPath,          // a slow path
  kBudgetWrite,       // a read-modify-write of the budget that all thread caches share
  kThreadWrite,       // one of the counts of threads
  kMaintenanceWrite,  // a store to what every slow path reads: the next maintenance
  kHintRead,          // a look at how much another CPU's list holds
  kSurplusWrite,      // a change of which CPUs have some of a class to spare
};

inline constexpr int kCountedEvents = static_cast<int>(CountedEvent::kSurplusWrite) + 1;

#ifndef SPANMALLOC_COUNTING

ALLOC_FAST_PATH void CountEvent(CountedEvent) {}
ALLOC_FAST_PATH void EndCountedThread() {}

#else

inline uint64_t CycleCounter() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  uint64_t now;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
  return now;
#endif
}

// What one thread did with the locks of one rank.
struct LockCounts {
  static constexpr size_t kBuckets = 40;

  uint64_t taken = 0;
  uint64_t moved = 0;  // of them, those that another thread held before
  uint64_t contended = 0;
  uint64_t cycles = 0;           // for which they were held
  uint64_t held[kBuckets] = {};  // how often for 2^i cycles or more, less than 2^(i+1)
};

// What one thread did, or several beyond the first kThreads: counted by CountMore alone.
struct alignas(128) SharingOfThread {
  uint64_t events[kCountedEvents] = {};
  LockCounts locks[kLockRankCount];
};

struct SharingCounts {
  static constexpr uint32_t kThreads = 1024;  // beyond, threads share counts

  std::atomic<uint64_t> numbers_in_use[kThreads / 64]{};
  SharingOfThread of_thread[kThreads];
};

inline constinit SharingCounts sharing_counts;
// The thread's number plus 1; 0 while it has none.
inline constinit thread_local uint32_t counted_thread = 0;

// The lowest number that no other thread has.
inline uint32_t CountedThread() {
  for (uint32_t i = 0; counted_thread == 0 && i < SharingCounts::kThreads - 1; ++i) {
    const uint64_t bit = uint64_t{1} << (i % 64);
    const uint64_t before =
        sharing_counts.numbers_in_use[i / 64].fetch_or(bit, std::memory_order_relaxed);
    if ((before & bit) == 0) counted_thread = i + 1;
  }
  return counted_thread == 0 ? SharingCounts::kThreads - 1 : counted_thread - 1;
}

// The calling thread ends; its number is free.
inline void EndCountedThread() {
  if (counted_thread == 0) return;
  const uint32_t i = counted_thread - 1;
  counted_thread = 0;
  sharing_counts.numbers_in_use[i / 64].fetch_and(~(uint64_t{1} << (i % 64)),
                                                  std::memory_order_relaxed);
}

inline SharingOfThread& OwnCounts() { return sharing_counts.of_thread[CountedThread()]; }

inline void CountMore(uint64_t& count, uint64_t more) {
  __atomic_fetch_add(&count, more, __ATOMIC_RELAXED);
}
inline void CountOne(uint64_t& count) { CountMore(count, 1); }

inline void CountEvent(CountedEvent event) {
  CountOne(OwnCounts().events[static_cast<size_t>(event)]);
}

// The part of a lock that counts. Guarded by the lock, except NoteContended.
class LockCounter {
 public:
  explicit constexpr LockCounter(LockRank rank) : rank_(rank) {}

  void NoteContended() { CountOne(counts().contended); }
  void NoteAcquired() {
    CountOne(counts().taken);
    const uint32_t thread = CountedThread() + 1;
    if (last_holder_ != 0 && last_holder_ != thread) CountOne(counts().moved);
    last_holder_ = thread;
    acquired_at_ = CycleCounter();
  }
  void NoteReleased() {
    const uint64_t cycles = (CycleCounter() - acquired_at_) | 1;
    const size_t bucket = static_cast<size_t>(63 - __builtin_clzll(cycles));
    CountMore(counts().cycles, cycles);
    CountOne(counts().held[bucket < LockCounts::kBuckets ? bucket : LockCounts::kBuckets - 1]);
  }

 private:
  LockCounts& counts() { return OwnCounts().locks[static_cast<size_t>(rank_)]; }

  const LockRank rank_;
  uint32_t last_holder_ = 0;  // its number plus 1
  uint64_t acquired_at_ = 0;
};

#endif

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_UTIL_SHARING_COUNTS_H_

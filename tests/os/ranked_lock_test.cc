// SPDX-License-Identifier: Apache-2.0
//
// The lock: exclusion and visibility between threads, waking, what a fork leaves behind, and in
// debug builds the order of ranks.
#include "allocator/os/ranked_lock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace spanmalloc::os {
namespace {

// Taken while the process has one thread, the lock is held for a second one that comes meanwhile,
// which goes to sleep on it and is woken. (The first test: the process still has
// one thread.)
TEST(RankedLockTest, TakenAloneHeldAgainstTheNextThread) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  RankedLock lock(LockRank::kPageHeap);
  lock.Lock();
  EXPECT_FALSE(lock.TryLock());
  std::atomic<bool> passed{false};
  std::thread other([&] {
    LockHolder hold(lock);
    passed = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(passed);
  lock.Unlock();
  other.join();
  EXPECT_TRUE(passed);
}

TEST(RankedLockTest, TryLockTellsWhetherItIsHeld) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  RankedLock lock(LockRank::kPageHeap);
  ASSERT_TRUE(lock.TryLock());
  std::thread([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { EXPECT_FALSE(lock.TryLock()); }).join();
  lock.Unlock();
  std::thread([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    EXPECT_TRUE(lock.TryLock());
    lock.Unlock();
  }).join();
}

TEST(RankedLockTest, HolderUnlocksAtTheEndOfItsScope) {
  RankedLock lock(LockRank::kPageHeap);
  {
    LockHolder hold(lock);
  }
  LockHolder hold(lock);
}

TEST(RankedLockTest, ItIsCountedHowOftenItIsTaken) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  RankedLock lock(LockRank::kPageHeap);
  EXPECT_EQ(lock.acquisitions().all, 0u);
  for (int i = 0; i < 10; ++i) LockHolder hold(lock);
  EXPECT_EQ(lock.acquisitions().all, 10u);
  ASSERT_TRUE(lock.TryLock());
  std::thread([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { EXPECT_FALSE(lock.TryLock()); }).join();
  lock.Unlock();
  EXPECT_EQ(lock.acquisitions().all, 11u);
  EXPECT_EQ(lock.acquisitions().spun + lock.acquisitions().slept, 0u);
  lock.Lock();
  lock.ResetAcquisitions();
  lock.Unlock();
  EXPECT_EQ(lock.acquisitions().all, 0u);
}

TEST(RankedLockTest, WaitsAreCountedByLockAndSleepsByKind) {
  constexpr LockKind kKind = KindOfClass(7);
  RankedLock lock(LockRank::kCentralFreeList);
  lock.SetKind(kKind);
  ResetLockWaits();
  std::thread threads[2];
  {
    LockHolder hold(lock);
    for (std::thread& thread : threads) thread = std::thread([&lock] { LockHolder inner(lock); });
    while (LockWaitsOf(kKind).max_waiting < 2) std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  const LockWaits waits = LockWaitsOf(kKind);
  EXPECT_EQ(lock.acquisitions().all, 3u);
  EXPECT_EQ(lock.acquisitions().slept, 2u);
  EXPECT_EQ(lock.acquisitions().spun, 0u);
  EXPECT_GT(waits.sleep_ns, waits.max_ns / 2);
  EXPECT_GT(waits.max_ns, 0u);
  EXPECT_EQ(waits.max_waiting, 2u);
  EXPECT_EQ(LockWaitsOf(KindOf(LockRank::kCentralFreeList)).sleep_ns, 0u);
  ResetLockWaits();
  EXPECT_EQ(LockWaitsOf(kKind).max_ns, 0u);
  EXPECT_EQ(LockWaitsOf(kKind).sleep_ns, 0u);
}

// Threads that would lose updates of plain variables if two of them ever held the lock at once.
TEST(RankedLockTest, OneThreadAtATime) {
  RankedLock lock(LockRank::kPageHeap);
  uint64_t first = 0;
  uint64_t second = 0;
  std::atomic<int> inside{0};
  std::atomic<bool> overlapped{false};
  constexpr int kThreads = 4;
  constexpr uint64_t kRounds = 20000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (uint64_t i = 0; i < kRounds; ++i) {
        LockHolder hold(lock);
        if (inside.fetch_add(1, std::memory_order_relaxed) != 0) overlapped = true;
        first = first + 1;
        second = second + first % 2 + 1;
        // Now and then give the CPU away while holding it, so that others go to sleep.
        if (i % 1000 == 0) std::this_thread::yield();
        inside.fetch_sub(1, std::memory_order_relaxed);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(overlapped);
  EXPECT_EQ(first, kThreads * kRounds);
  EXPECT_EQ(second, kThreads * kRounds * 3 / 2);
}

// Every waiter asleep on the word is woken in the end: each unlock wakes one, who passes it on.
TEST(RankedLockTest, SleepersAreWokenOneAfterAnother) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  RankedLock lock(LockRank::kPageHeap);
  int passed = 0;
  lock.Lock();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      LockHolder hold(lock);
      ++passed;
    });
  }
  // Long enough for all to end their spins; if one hasn't, the test merely shows less.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(passed, 0);
  lock.Unlock();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(passed, 4);
}

// Runs `body` in a forked child and returns its wait status.
template <typename Body>
int InChild(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a child that waits for a lock for ever
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

TEST(RankedLockTest, AChildFreesTheLocksItsParentHeldAtTheFork) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  RankedLock outer(LockRank::kThreadRegistry);
  RankedLock inner(LockRank::kPageHeap);
  outer.Lock();
  inner.Lock();
  EXPECT_EQ(InChild([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
              inner.ResetAfterFork();
              outer.ResetAfterFork();
              // In rank order again, from the start.
              LockHolder hold_outer(outer);
              LockHolder hold_inner(inner);
              return !outer.TryLock();
            }),
            0);
  EXPECT_FALSE(outer.TryLock()) << "the parent's lock was freed too";
  inner.Unlock();
  outer.Unlock();
}

#ifndef NDEBUG

TEST(RankedLockDeathTest, LockingDownwardsInRankAborts) {
  RankedLock heap(LockRank::kPageHeap);
  RankedLock central(LockRank::kCentralFreeList);
  EXPECT_EXIT(
      {
        LockHolder hold_heap(heap);
        LockHolder hold_central(central);
      },
      testing::KilledBySignal(SIGABRT),
      "^spanmalloc: internal error: lock taken out of rank order");
}

TEST(RankedLockDeathTest, TryLockIsCheckedToo) {
  RankedLock heap(LockRank::kPageHeap);
  RankedLock central(LockRank::kCentralFreeList);
  EXPECT_EXIT(
      {
        LockHolder hold_heap(heap);
        if (central.TryLock()) central.Unlock();
      },
      testing::KilledBySignal(SIGABRT), "lock taken out of rank order");
}

TEST(RankedLockTest, EqualRanksMayNestAndOtherThreadsDoNotCount) {
  RankedLock first(LockRank::kCentralFreeList);
  RankedLock second(LockRank::kCentralFreeList);
  RankedLock metadata(LockRank::kMetadata);
  LockHolder hold_first(first);
  LockHolder hold_second(second);
  LockHolder hold_metadata(metadata);
  RankedLock registry(LockRank::kThreadRegistry);
  std::thread([&] { LockHolder hold(registry); }).join();
}

#endif  // NDEBUG

}  // namespace
}  // namespace spanmalloc::os

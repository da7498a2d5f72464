// SPDX-License-Identifier: Apache-2.0
//
// Work in passing: one thread at a time, with time between its end and the next beginning.
#include "allocator/cache/passing_work.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

TEST(PassingWorkTest, IsDueFromItsTimeOn) {
  PassingWork work;
  EXPECT_TRUE(work.IsDue(0));
  work.SetNext(50);
  EXPECT_FALSE(work.IsDue(49));
  EXPECT_TRUE(work.IsDue(50));
}

TEST(PassingWorkTest, NobodyBeginsWhileAnotherIsAtIt) {
  PassingWork work;
  ASSERT_TRUE(work.Begin());
  EXPECT_FALSE(work.Begin());
  EXPECT_TRUE(work.IsDue(1)) << "due or not";
  EXPECT_FALSE(work.Begin());
  work.End();
  EXPECT_TRUE(work.Begin());
}

TEST(PassingWorkTest, AChildOfAForkMayBegin) {
  PassingWork work;
  ASSERT_TRUE(work.Begin());
  work.ResetAfterFork();
  EXPECT_TRUE(work.Begin());
}

TEST(PassingWorkTest, OfManyThreadsOneIsAtIt) {
  PassingWork work;
  std::atomic<int> at_it{0};
  std::atomic<int> done{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 20000; ++k) {
        if (!work.Begin()) continue;
        if (at_it.fetch_add(1) != 0) failed = true;
        done.fetch_add(1, std::memory_order_relaxed);
        at_it.fetch_sub(1);
        work.End();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(failed);
  EXPECT_GT(done, 0);
}

}  // namespace
}  // namespace spanmalloc

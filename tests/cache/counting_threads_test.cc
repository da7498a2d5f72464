// SPDX-License-Identifier: Apache-2.0
//
// Threads that are made to count: what they find, in and outside of slow paths, and that busy ones
// follow.
#include "allocator/cache/counting_threads.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 6;

TEST(CountingThreadsTest, AThreadOutsideOfSlowPathsFindsTheEmptyCacheAtOnce) {
  CachesOnFakes on;
  CachingThread owner(on);
  ASSERT_TRUE(owner.has_cache());
  ASSERT_FALSE(owner.counts());
  MakeThreadsCount(on.registry);
  EXPECT_TRUE(owner.counts());
  EXPECT_FALSE(owner.has_cache());
  EXPECT_TRUE(owner.state().MayUseHidden());
  EXPECT_TRUE(owner.state().CheckInvariants());
}

TEST(CountingThreadsTest, AThreadInASlowPathFollowsAtItsEnd) {
  CachesOnFakes on;
  CachingThread owner(on);
  owner.Begin();
  MakeThreadsCount(on.registry);
  EXPECT_TRUE(owner.counts());
  owner.End();
  EXPECT_FALSE(owner.has_cache());
}

TEST(CountingThreadsTest, ACacheThatIsBeingTakenBackStaysHiddenAfterwards) {
  CachesOnFakes on;
  CachingThread owner(on);
  owner.Fill(kClass, 100);
  ASSERT_TRUE(owner.state().AskBack());
  EXPECT_FALSE(owner.state().MayUseHidden());
  MakeThreadsCount(on.registry);
  owner.state().LeaveToOwner();
  EXPECT_TRUE(owner.state().MayUseHidden());
  owner.Begin();
  owner.End();
  EXPECT_FALSE(owner.has_cache());
}

TEST(CountingThreadsTest, AStateWithoutOwnerIsLeftAlone) {
  CachesOnFakes on;
  ThreadState* state = on.registry.Create(nullptr);
  MakeThreadsCount(on.registry);
  EXPECT_EQ(state->Visible(), &state->cache);
  on.registry.Destroy(state);
}

TEST(CountingThreadsTest, BusyThreadsFollow) {
  CachesOnFakes on;
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&on, &ready] {
      CachingThread owner(on);
      ready.fetch_add(1);
      while (!owner.counts() || owner.has_cache()) {
        owner.SlowPath([&] {
          owner.state().UseCache();
          on.Free(&owner.state(), kClass, on.Allocate(&owner.state(), kClass));
        });
      }
      for (int n = 0; n < 1000; ++n) {
        owner.Begin();
        owner.End();
        ASSERT_FALSE(owner.has_cache());
      }
    });
  }
  while (ready.load() < 4) std::this_thread::yield();
  MakeThreadsCount(on.registry);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace spanmalloc

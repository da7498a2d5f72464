// SPDX-License-Identifier: Apache-2.0
//
// Threads that are made to count: what they find, in and outside of slow paths, and that busy ones
// follow.
#include "allocator/cache/counting_threads.h"

#include <atomic>
#include <thread>
#include <vector>

#include "allocator/cache/thread_locals.h"
#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 6;

// A thread's variables and state.
class Owner {
 public:
  explicit Owner(CachesOnFakes& on) : on_(on), locals_{&on.empty_cache, nullptr, 0, false} {
    Begin();
    locals_.state = on_.registry.Create(&locals_);
    End();
  }
  ~Owner() { on_.registry.Destroy(locals_.state); }

  void Begin() { BeginSlowPath(locals_, &on_.empty_cache); }
  void End() { EndSlowPath(locals_, &on_.empty_cache); }
  bool counts() const { return RelaxedLoad(locals_.counting); }
  bool has_cache() const { return RelaxedLoad(locals_.cache) == &locals_.state->cache; }
  ThreadState& state() { return *locals_.state; }

 private:
  CachesOnFakes& on_;
  ThreadLocals locals_;
};

TEST(CountingThreadsTest, AThreadOutsideOfSlowPathsFindsTheEmptyCacheAtOnce) {
  CachesOnFakes on;
  Owner owner(on);
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
  Owner owner(on);
  owner.Begin();
  MakeThreadsCount(on.registry);
  EXPECT_TRUE(owner.counts());
  owner.End();
  EXPECT_FALSE(owner.has_cache());
}

TEST(CountingThreadsTest, ACacheThatIsBeingTakenBackStaysHiddenAfterwards) {
  CachesOnFakes on;
  Owner owner(on);
  std::vector<void*> objects;
  for (int i = 0; i < 400; ++i) objects.push_back(on.Allocate(&owner.state(), kClass));
  for (void* object : objects) on.Free(&owner.state(), kClass, object);
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
      Owner owner(on);
      ready.fetch_add(1);
      while (!owner.counts() || owner.has_cache()) {
        owner.Begin();
        owner.state().UseCache();
        on.Free(&owner.state(), kClass, on.Allocate(&owner.state(), kClass));
        owner.End();
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

// SPDX-License-Identifier: Apache-2.0
//
// The list of threads: their counts, their end, and what a fork leaves of them.
#include "allocator/cache/thread_registry.h"

#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 6;

class ThreadRegistryTest : public testing::Test {
 protected:
  ~ThreadRegistryTest() {
    EXPECT_TRUE(registry_.CheckInvariants());
    EXPECT_TRUE(on_.central.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  // Leaves some objects in the cache.
  void Fill(ThreadState* state) {
    std::vector<void*> objects;
    for (int i = 0; i < 20; ++i) objects.push_back(on_.Allocate(state, kClass));
    for (void* object : objects) on_.Free(state, kClass, object);
  }
  size_t Cached() {
    size_t counts[kSizeClassEnd] = {};
    registry_.AddCounts(counts);
    return counts[kClass];
  }

  CachesOnFakes on_;
  ThreadRegistry& registry_ = on_.registry;
};

TEST_F(ThreadRegistryTest, CountsThreadsAndWhatTheyHold) {
  ThreadState* first = registry_.Create();
  ThreadState* second = registry_.Create();
  EXPECT_EQ(registry_.threads(), 2u);
  EXPECT_EQ(Cached(), 0u);
  Fill(first);
  const size_t one = Cached();
  EXPECT_GT(one, 0u);
  Fill(second);
  EXPECT_EQ(Cached(), 2 * one);
  registry_.Destroy(first);
  EXPECT_EQ(registry_.threads(), 1u);
  EXPECT_EQ(Cached(), one);
  registry_.Destroy(second);
  EXPECT_EQ(registry_.threads(), 0u);
  EXPECT_EQ(registry_.created(), 2u);
  EXPECT_EQ(Cached(), 0u);
  EXPECT_EQ(on_.Outside(kClass, 0), 0u);
  EXPECT_EQ(on_.budget.left(), CachesOnFakes::kBudget);
}

TEST_F(ThreadRegistryTest, AnEndedThreadLeavesNoMetadata) {
  Fill(registry_.Create());  // makes what stays
  const size_t used = on_.metadata.used_bytes();
  for (int i = 0; i < 50; ++i) {
    ThreadState* state = registry_.Create();
    Fill(state);
    registry_.Destroy(state);
  }
  registry_.ReturnKept();
  on_.central.Drain();
  EXPECT_LE(on_.metadata.used_bytes(), used + 64 * 64) << "more than arrays of the central list";
}

// Its objects and arrays are there for the next one, which takes nothing from the central lists.
TEST_F(ThreadRegistryTest, AnEndedThreadsStateIsTheNextOnes) {
  ThreadState* first = registry_.Create();
  Fill(first);
  void* last = on_.Allocate(first, kClass);
  on_.Free(first, kClass, last);
  registry_.Destroy(first);
  const uint64_t taken = on_.central.Stats(kClass).taken;
  const size_t used = on_.metadata.used_bytes();
  ThreadState* second = registry_.Create();
  EXPECT_EQ(second->cache.Pop(kClass), last);
  EXPECT_TRUE(second->cache.Push(kClass, last));
  EXPECT_EQ(on_.central.Stats(kClass).taken, taken);
  EXPECT_EQ(on_.metadata.used_bytes(), used);
  registry_.Destroy(second);
  EXPECT_EQ(registry_.created(), 2u);
}

TEST_F(ThreadRegistryTest, AStateThatWasHiddenIsSeenByItsNextThread) {
  ThreadState* state = registry_.Create();
  state->SetHidden(true);
  ASSERT_NE(state->Visible(), &state->cache);
  registry_.Destroy(state);
  state = registry_.Create();
  EXPECT_EQ(state->Visible(), &state->cache);
}

TEST_F(ThreadRegistryTest, StatesThatNobodyWantedGoBackAtTheSecondTick) {
  registry_.ReturnIdle();
  Fill(registry_.Create());
  std::vector<ThreadState*> states;
  for (int i = 0; i < 3; ++i) Fill(states.emplace_back(registry_.Create()));
  for (ThreadState* state : states) registry_.Destroy(state);
  registry_.ReturnIdle();
  const size_t used = on_.metadata.used_bytes();
  // One of three is in use time and again.
  for (int i = 0; i < 5; ++i) registry_.Destroy(registry_.Create());
  EXPECT_EQ(on_.metadata.used_bytes(), used);
  registry_.ReturnIdle();
  EXPECT_LT(on_.metadata.used_bytes(), used - 2 * sizeof(ThreadState));
  registry_.Destroy(registry_.Create());
  EXPECT_GT(on_.metadata.used_bytes(), used - 3 * sizeof(ThreadState));
}

// Of many that end at once few are kept, and none that caches much.
TEST_F(ThreadRegistryTest, FewAreKept) {
  const size_t used = on_.metadata.used_bytes();
  std::vector<ThreadState*> states;
  for (int i = 0; i < 100; ++i) states.push_back(registry_.Create());
  for (ThreadState* state : states) registry_.Destroy(state);
  EXPECT_LE(on_.metadata.used_bytes(), used + 9 * sizeof(ThreadState));
  registry_.ReturnKept();
  EXPECT_EQ(on_.metadata.used_bytes(), used);
  ThreadState* large = registry_.Create();
  for (size_t c : {20, 30, 40}) {
    std::vector<void*> objects;
    for (int i = 0; i < 5000; ++i) objects.push_back(on_.Allocate(large, c));
    for (void* object : objects) on_.Free(large, c, object);
  }
  EXPECT_LT(on_.budget.left(), CachesOnFakes::kBudget - 128 * 1024);
  registry_.Destroy(large);
  EXPECT_EQ(on_.budget.left(), CachesOnFakes::kBudget);
}

TEST_F(ThreadRegistryTest, NoMemoryIsNoState) {
  on_.memory.RefuseAll(FakeVirtualMemory::kMap);
  while (on_.metadata.Allocate(64) != nullptr) {
  }
  EXPECT_EQ(registry_.Create(), nullptr);
  EXPECT_EQ(registry_.threads(), 0u);
  on_.memory.RefuseNothing();
  EXPECT_NE(registry_.Create(), nullptr);
}

TEST_F(ThreadRegistryTest, LockAllHoldsEveryState) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  ThreadState* states[] = {registry_.Create(), registry_.Create()};
  registry_.LockAll();
  for (ThreadState* state : states) EXPECT_FALSE(state->lock.TryLock());
  registry_.UnlockAll();
  for (ThreadState* state : states) {
    EXPECT_TRUE(state->lock.TryLock());
    state->lock.Unlock();
  }
}

// Whether the child of a fork finds `own` (one thread's or none's) alone alive and returns what the
// other threads cached.
bool ChildAdoptsOrphans(CachesOnFakes* on, ThreadState* own) {
  ThreadRegistry& registry = on->registry;
  registry.ResetAfterFork(own);
  if (registry.threads() != (own != nullptr ? 1u : 0u)) return false;
  registry.AdoptOrphans();
  registry.AdoptOrphans();
  size_t counts[kSizeClassEnd] = {};
  registry.AddCounts(counts);
  if (on->Outside(kClass, counts[kClass]) != 0) return false;
  if (own == nullptr) return counts[kClass] == 0 && on->budget.left() == CachesOnFakes::kBudget;
  if (counts[kClass] == 0) return false;
  void* object = on->Allocate(own, kClass);
  on->Free(own, kClass, object);
  ThreadState* another = registry.Create();
  return another != nullptr && registry.threads() == 2 && registry.CheckInvariants();
}

TEST_F(ThreadRegistryTest, AForkedChildKeepsOneStateAndAdoptsTheOthers) {
  ThreadState* own = registry_.Create();
  Fill(own);
  for (int i = 0; i < 3; ++i) Fill(registry_.Create());
  const size_t cached = Cached();
  for (ThreadState* kept : {own, static_cast<ThreadState*>(nullptr)}) {
    registry_.LockAll();
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      _exit(ChildAdoptsOrphans(&on_, kept) ? 0 : 1);
    }
    registry_.UnlockAll();
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << (kept != nullptr ? "with a state" : "without a state");
  }
  EXPECT_EQ(registry_.threads(), 4u);
  EXPECT_EQ(Cached(), cached);
}

// Threads that come, pass objects on to others through the central lists and go, while another
// counts and gives idle memory back.
TEST_F(ThreadRegistryTest, ThreadsComeAndGo) {
  std::atomic<bool> done{false};
  std::thread counter([&] {
    while (!done) {
      size_t counts[kSizeClassEnd] = {};
      registry_.AddCounts(counts);
      on_.central.ReturnIdle();
      on_.clock.Advance(100);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (unsigned t = 1; t <= 3; ++t) {
    threads.emplace_back([this, t] {
      unsigned n = t;
      for (int life = 0; life < 10; ++life) {
        ThreadState* state = registry_.Create();
        ASSERT_NE(state, nullptr);
        std::vector<std::pair<size_t, uintptr_t*>> live;
        for (int step = 0; step < 1500; ++step) {
          n = n * 1103515245 + 12345;
          if (n >> 31 != 0 || live.empty()) {
            const size_t c = 1 + (n >> 16) % 30;
            auto* object = static_cast<uintptr_t*>(on_.Allocate(state, c));
            ASSERT_NE(object, nullptr);
            *object = t;
            live.emplace_back(c, object);
          } else {
            std::swap(live[(n >> 16) % live.size()], live.back());
            ASSERT_EQ(*live.back().second, t) << "another thread's object";
            on_.Free(state, live.back().first, live.back().second);
            live.pop_back();
          }
        }
        for (auto& [c, object] : live) on_.Free(state, c, object);
        registry_.Destroy(state);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  counter.join();
  EXPECT_TRUE(registry_.CheckInvariants());
  registry_.ReturnKept();
  EXPECT_EQ(registry_.threads(), 0u);
  EXPECT_EQ(on_.budget.left(), CachesOnFakes::kBudget);
  for (size_t c = 1; c < kSizeClassEnd; ++c) ASSERT_EQ(on_.Outside(c, 0), 0u);
  on_.central.Drain();
  EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u);
}

}  // namespace
}  // namespace spanmalloc

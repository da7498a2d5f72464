// SPDX-License-Identifier: Apache-2.0
//
// What threads count of their calls, the places that the counts are in, and a thread's cache while
// it counts: hidden from its fast paths, in use all the same, and taken back as others are.
#include "allocator/cache/thread_counts.h"

#include <set>
#include <vector>

#include "allocator/cache/idle_caches.h"
#include "allocator/cache/thread_locals.h"
#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 6;

class ThreadCountsTest : public testing::Test {
 protected:
  ~ThreadCountsTest() { EXPECT_TRUE(pool_.CheckInvariants()); }

  // The places of so many threads that begin to count.
  std::set<ThreadCounts*> AcquirePlaces(size_t count) {
    std::set<ThreadCounts*> places;
    while (places.size() < count) places.insert(pool_.Acquire(on_.metadata));
    return places;
  }

  CachesOnFakes on_{int64_t{64} << 20};
  ThreadCountsPool pool_;
};

TEST_F(ThreadCountsTest, BytesAndRequestsAddUp) {
  ThreadCounts* counts = pool_.Acquire(on_.metadata);
  ASSERT_NE(counts, nullptr);
  counts->NoteAllocated(3, 48);
  counts->NoteAllocated(3, 48);
  counts->NoteAllocated(kNoSizeClass, 1 << 20);
  counts->NoteFreed(48);
  counts->NoteResized(48, 96);
  EXPECT_EQ(*counts->allocated(), 48u + 48 + (1 << 20) + 96);
  EXPECT_EQ(*counts->freed(), 48u + 48);
  uint64_t requests[kSizeClassEnd] = {};
  pool_.AddRequests(requests);
  EXPECT_EQ(requests[3], 2u);
  EXPECT_EQ(requests[kNoSizeClass], 1u);
  EXPECT_EQ(requests[4], 0u);
}

TEST_F(ThreadCountsTest, ThePeakIsComparedWithTheLastReset) {
  ThreadCounts* counts = pool_.Acquire(on_.metadata);
  counts->NoteFreed(1000);  // another thread's block
  EXPECT_EQ(counts->peak(), 0u);
  counts->NoteAllocated(3, 5000);
  EXPECT_EQ(counts->peak(), 4000u);
  counts->NoteFreed(3000);
  counts->NoteAllocated(3, 2000);
  EXPECT_EQ(counts->peak(), 4000u);
  counts->ResetPeak();
  EXPECT_EQ(counts->peak(), 0u);
  counts->NoteAllocated(3, 10);
  counts->NoteFreed(500);
  EXPECT_EQ(counts->peak(), 10u);
}

TEST_F(ThreadCountsTest, APlaceIsHandedOnAndKeepsItsRequests) {
  ThreadCounts* first = pool_.Acquire(on_.metadata);
  ThreadCounts* second = pool_.Acquire(on_.metadata);
  ASSERT_NE(first, second);
  first->NoteAllocated(3, 48);
  pool_.Release(first);
  ThreadCounts* third = pool_.Acquire(on_.metadata);
  EXPECT_EQ(third, first);
  EXPECT_EQ(*third->allocated(), 0u);
  EXPECT_EQ(third->peak(), 0u);
  uint64_t requests[kSizeClassEnd] = {};
  pool_.AddRequests(requests);
  EXPECT_EQ(requests[3], 1u);
}

TEST_F(ThreadCountsTest, InAForkedChildThePlacesOfTheOtherThreadsAreFree) {
  ThreadCounts* own = pool_.Acquire(on_.metadata);
  const std::set<ThreadCounts*> others = {pool_.Acquire(on_.metadata), pool_.Acquire(on_.metadata)};
  pool_.ResetAfterFork(own);
  EXPECT_EQ(AcquirePlaces(2), others);
}

TEST_F(ThreadCountsTest, InAForkedChildOfAThreadThatDidNotCountAllPlacesAreFree) {
  const std::set<ThreadCounts*> all = AcquirePlaces(3);
  pool_.ResetAfterFork(nullptr);
  EXPECT_EQ(AcquirePlaces(3), all);
}

// A thread whose cache is hidden, as its malloc and free go.
class HiddenCacheTest : public ThreadCountsTest {
 protected:
  HiddenCacheTest() {
    BeginSlowPath(locals_, &on_.empty_cache);
    locals_.state = on_.registry.Create(&locals_);
    state().SetHidden(true);
    EndSlowPath(locals_, &on_.empty_cache);
    idle_.SetWanted(true);
    idle_.Begin();
  }
  ~HiddenCacheTest() {
    on_.registry.Destroy(locals_.state);
    EXPECT_TRUE(on_.central.CheckInvariants());
  }

  void* Allocate() {
    EXPECT_EQ(locals_.cache->Pop(kClass), nullptr) << "the fast path has no cache";
    BeginSlowPath(locals_, &on_.empty_cache);
    state().UseCache();
    void* object = on_.Allocate(&state(), kClass);
    EndSlowPath(locals_, &on_.empty_cache);
    return object;
  }
  void Free(void* object) {
    EXPECT_FALSE(locals_.cache->Push(kClass, object));
    BeginSlowPath(locals_, &on_.empty_cache);
    state().UseCache();
    on_.Free(&state(), kClass, object);
    EndSlowPath(locals_, &on_.empty_cache);
  }
  void Fill() {
    std::vector<void*> objects;
    for (int i = 0; i < 400; ++i) objects.push_back(Allocate());
    for (void* object : objects) Free(object);
  }
  size_t Held() {
    size_t counts[kSizeClassEnd] = {};
    state().AddCounts(counts);
    return counts[kClass];
  }
  void Look() {
    on_.clock.Advance(IdleCaches::kLookMs);
    idle_.Look(on_.clock.NowMs());
  }
  ThreadState& state() { return *locals_.state; }

  ThreadLocals locals_{&on_.empty_cache, nullptr, 0, false};
  IdleCaches idle_{on_.registry};
};

TEST_F(HiddenCacheTest, SlowPathsUseIt) {
  Fill();
  const size_t held = Held();
  EXPECT_GT(held, 100u);
  void* object = Allocate();
  EXPECT_EQ(Held(), held - 1);
  Free(object);
  EXPECT_EQ(Held(), held);
  EXPECT_EQ(locals_.cache, &on_.empty_cache);
}

TEST_F(HiddenCacheTest, ItIsTakenBackFromAThreadThatSleepsAndHiddenStill) {
  Fill();
  ASSERT_GT(Held(), 100u);
  Look();
  Look();
  EXPECT_EQ(Held(), 1u);
  EXPECT_EQ(idle_.Stats().caches, 1u);
  Fill();
  EXPECT_GT(Held(), 50u);
  EXPECT_EQ(locals_.cache, &on_.empty_cache);
  EXPECT_TRUE(state().CheckInvariants());
}

TEST_F(HiddenCacheTest, ShownAgainTheFastPathsHaveIt) {
  Fill();
  BeginSlowPath(locals_, &on_.empty_cache);
  state().SetHidden(false);
  EndSlowPath(locals_, &on_.empty_cache);
  EXPECT_EQ(locals_.cache, &state().cache);
  EXPECT_NE(locals_.cache->Pop(kClass), nullptr);
}

TEST_F(HiddenCacheTest, ShownWhileItIsTakenBackItComesBackWithTheNextSlowPath) {
  Fill();
  Look();
  Look();
  ASSERT_EQ(Held(), 1u);
  BeginSlowPath(locals_, &on_.empty_cache);
  state().SetHidden(false);
  EndSlowPath(locals_, &on_.empty_cache);
  EXPECT_EQ(locals_.cache, &on_.empty_cache) << "it isn't the thread's yet";
  void* object = Allocate();
  EXPECT_EQ(locals_.cache, &state().cache);
  state().cache.Push(kClass, object);
  EXPECT_TRUE(state().CheckInvariants());
}

}  // namespace
}  // namespace spanmalloc

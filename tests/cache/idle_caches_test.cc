// SPDX-License-Identifier: Apache-2.0
//
// Caches taken back from threads that sleep: what is taken and when, what the owner finds when it
// wakes, in the middle of an operation too, and that neither objects nor budget are lost.
#include "allocator/cache/idle_caches.h"

#include <memory>
#include <set>
#include <vector>

#include "allocator/cache/background_thread.h"
#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 6;  // 96 bytes
constexpr size_t kOther = 20;
constexpr size_t kHeld = 200;

class IdleCachesTest : public testing::Test {
 protected:
  IdleCachesTest() {
    idle_.SetWanted(true);
    idle_.Begin();
  }
  ~IdleCachesTest() {
    EXPECT_TRUE(on_.registry.CheckInvariants());
    EXPECT_TRUE(on_.central.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }
  uint64_t Look() {
    on_.clock.Advance(IdleCaches::kLookMs);
    return idle_.Look(on_.clock.NowMs());
  }
  void TakeBack() {
    Look();
    Look();
  }

  CachesOnFakes on_{int64_t{64} << 20};
  IdleCaches idle_{on_.registry};
};

TEST_F(IdleCachesTest, WhatNobodyMovedBetweenTwoLooksIsTakenButForTheTopObjects) {
  CachingThread owner(on_);
  owner.Fill(kClass, kHeld);
  owner.Fill(kOther, 30);
  const size_t held = owner.Held(kClass);
  ASSERT_GT(held, 100u);
  Look();
  EXPECT_EQ(owner.Held(kClass), held);
  EXPECT_TRUE(owner.has_cache());
  Look();
  EXPECT_EQ(owner.Held(kClass), 1u);
  EXPECT_EQ(owner.Held(kOther), 1u);
  EXPECT_FALSE(owner.has_cache());
  const IdleCachesStats stats = idle_.Stats();
  EXPECT_EQ(stats.caches, 1u);
  EXPECT_GE(stats.objects, held - 1);
  EXPECT_GE(stats.bytes, (held - 1) * 96);
}

TEST_F(IdleCachesTest, TheBudgetComesBackWithThem) {
  const int64_t whole = on_.budget.left();
  {
    CachingThread owner(on_);
    owner.Fill(kClass, kHeld);
    ASSERT_LT(on_.budget.left(), whole);
    TakeBack();
    EXPECT_EQ(on_.budget.left(), whole);
    EXPECT_TRUE(owner.state().CheckInvariants());
    owner.Free(kClass, owner.Allocate(kClass));
    EXPECT_TRUE(owner.state().CheckInvariants());
  }
  on_.registry.ReturnKept();
  EXPECT_EQ(on_.budget.left(), whole);
}

TEST_F(IdleCachesTest, WithoutABudgetLeftTheOwnerHoldsLittleWhenItIsBack) {
  CachingThread owner(on_);
  owner.Fill(kClass, kHeld);
  TakeBack();
  const int64_t taken =
      on_.budget.Take(on_.budget.left() / CacheBudget::kQuantum * CacheBudget::kQuantum);
  owner.Free(kClass, owner.Allocate(kClass));
  EXPECT_TRUE(owner.state().CheckInvariants());
  const auto limit =
      static_cast<size_t>(owner.state().cache.limit[kClass] - owner.state().cache.top[kClass]) +
      owner.Held(kClass);
  EXPECT_LE(limit, kSizeClassTable[kClass].batch);
  on_.budget.Return(taken);
}

TEST_F(IdleCachesTest, TheOwnerFindsItsCacheAgainByOneSlowPath) {
  CachingThread owner(on_);
  owner.Fill(kClass, kHeld);
  TakeBack();
  void* object = owner.Allocate(kClass);
  EXPECT_NE(object, nullptr);
  EXPECT_TRUE(owner.has_cache());
  owner.Free(kClass, object);
  EXPECT_EQ(owner.Held(kClass), 1u);
}

TEST_F(IdleCachesTest, ASlowPathThatDoesNotNeedTheCacheLeavesItTaken) {
  CachingThread owner(on_);
  owner.Fill(kClass, kHeld);
  TakeBack();
  owner.Begin();
  owner.End();
  EXPECT_FALSE(owner.has_cache());
  EXPECT_EQ(owner.Held(kClass), 1u);
}

// What an operation does after it has read where the cache is.
TEST_F(IdleCachesTest, APopThatWasUnderWayIsDone) {
  CachingThread owner(on_);
  owner.Fill(kClass, kHeld);
  TakeBack();
  void* popped = owner.state().cache.Pop(kClass);
  ASSERT_NE(popped, nullptr);
  EXPECT_TRUE(owner.state().CheckInvariants());
  EXPECT_EQ(owner.Held(kClass), 0u);
  // It is nobody else's.
  std::set<void*> others;
  for (int i = 0; i < 1000; ++i) others.insert(owner.Allocate(kClass));
  EXPECT_EQ(others.size(), 1000u);
  EXPECT_EQ(others.count(popped), 0u);
  for (void* other : others) owner.Free(kClass, other);
  owner.Free(kClass, popped);
}

TEST_F(IdleCachesTest, APushThatWasUnderWayIsDone) {
  CachingThread owner(on_);
  owner.Fill(kClass, kHeld);
  void* object = owner.Allocate(kClass);
  TakeBack();
  ASSERT_TRUE(owner.state().cache.Push(kClass, object));
  EXPECT_TRUE(owner.state().CheckInvariants());
  EXPECT_EQ(owner.Held(kClass), 2u);
  EXPECT_EQ(owner.Allocate(kClass), object);
  EXPECT_EQ(owner.Held(kClass), 1u);
  owner.Free(kClass, object);
}

TEST_F(IdleCachesTest, AThreadInASlowPathKeepsItsCache) {
  CachingThread owner(on_);
  owner.Fill(kClass, kHeld);
  owner.Begin();
  TakeBack();
  EXPECT_GT(owner.Held(kClass), 100u);
  owner.End();
  EXPECT_TRUE(owner.has_cache());
  EXPECT_EQ(idle_.Stats().caches, 0u);
}

TEST_F(IdleCachesTest, AThreadThatMovesItsStacksKeepsItsCache) {
  CachingThread owner(on_);
  owner.Fill(kClass, kHeld);
  std::vector<void*> objects;
  for (int i = 0; i < 5; ++i) {
    objects.push_back(owner.Allocate(kClass));
    EXPECT_NE(Look(), IdleCaches::kForever);
  }
  EXPECT_TRUE(owner.has_cache());
  for (void* object : objects) owner.Free(kClass, object);
}

TEST_F(IdleCachesTest, ACacheOfLittleIsLeftAlone) {
  CachingThread owner(on_);
  owner.Free(kClass, owner.Allocate(kClass));
  TakeBack();
  EXPECT_TRUE(owner.has_cache());
}

TEST_F(IdleCachesTest, SaysWhenNothingMoreIsToBeDone) {
  CachingThread owner(on_);
  owner.Fill(kClass, kHeld);
  EXPECT_EQ(Look(), IdleCaches::kLookMs);
  EXPECT_EQ(Look(), IdleCaches::kForever);
  idle_.NoteActivity();
  on_.clock.Advance(400);
  EXPECT_EQ(idle_.Look(on_.clock.NowMs()), IdleCaches::kLookMs - 400);
}

TEST_F(IdleCachesTest, AFlushAndTheEndOfAThreadRespectWhatIsTaken) {
  {
    CachingThread flushed(on_);
    flushed.Fill(kClass, kHeld);
    CachingThread ended(on_);
    ended.Fill(kClass, kHeld);
    TakeBack();
    ASSERT_EQ(idle_.Stats().caches, 2u);
    flushed.Begin();
    flushed.state().FlushAll();
    flushed.End();
    EXPECT_EQ(flushed.Held(kClass), 0u);
    EXPECT_TRUE(flushed.has_cache());
  }
  on_.registry.ReturnKept();
  EXPECT_EQ(on_.Outside(kClass, 0), 0u);
  EXPECT_EQ(on_.Outside(kOther, 0), 0u);
}

TEST_F(IdleCachesTest, TakesManyAtATime) {
  std::vector<std::unique_ptr<CachingThread>> owners;
  for (int i = 0; i < 130; ++i) {
    owners.push_back(std::make_unique<CachingThread>(on_));
    owners.back()->Fill(kClass, 100);
  }
  TakeBack();
  EXPECT_EQ(idle_.Stats().caches, 130u);
}

TEST_F(IdleCachesTest, NotUnlessWanted) {
  CachingThread owner(on_);
  owner.Fill(kClass, kHeld);
  idle_.SetWanted(false);
  idle_.Begin();
  EXPECT_EQ(Look(), IdleCaches::kForever);
  EXPECT_EQ(Look(), IdleCaches::kForever);
  EXPECT_TRUE(owner.has_cache());
}

TEST_F(IdleCachesTest, AStateOfUnknownOwnerKeepsItsCache) {
  ThreadState* state = on_.registry.Create();
  std::vector<void*> objects;
  for (size_t i = 0; i < kHeld; ++i) objects.push_back(on_.Allocate(state, kClass));
  for (void* object : objects) on_.Free(state, kClass, object);
  TakeBack();
  EXPECT_EQ(idle_.Stats().caches, 0u);
  on_.registry.Destroy(state);
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// Caches taken back from threads that sleep: what is taken and when, what the owner finds when it
// wakes, in the middle of an operation too, and that neither objects nor budget are lost.
#include "allocator/cache/idle_caches.h"

#include <memory>
#include <set>
#include <vector>

#include "allocator/cache/background_thread.h"
#include "allocator/cache/thread_locals.h"
#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 6;  // 96 bytes
constexpr size_t kOther = 20;
constexpr size_t kHeld = 200;

// A thread, as its malloc and free go.
class Owner {
 public:
  explicit Owner(CachesOnFakes& on) : on_(on), locals_{&on.empty_cache, nullptr, 0, false} {
    Begin();
    locals_.state = on_.registry.Create(&locals_);
    End();
  }
  ~Owner() {
    Begin();
    on_.registry.Destroy(locals_.state);
    locals_.state = nullptr;
    End();
  }

  void* Allocate(size_t c) {
    void* object = locals_.cache->Pop(c);
    if (object != nullptr) return object;
    Begin();
    state().UseCache();
    object = on_.Allocate(&state(), c);
    End();
    return object;
  }
  void Free(size_t c, void* object) {
    if (locals_.cache->Push(c, object)) return;
    Begin();
    state().UseCache();
    on_.Free(&state(), c, object);
    End();
  }
  void Begin() { BeginSlowPath(locals_, &on_.empty_cache); }
  void End() { EndSlowPath(locals_, &on_.empty_cache); }

  // Leaves `count` objects or so on a stack.
  void Fill(size_t c, size_t count) {
    std::vector<void*> objects;
    for (size_t i = 0; i < 4 * count; ++i) objects.push_back(Allocate(c));
    for (void* object : objects) Free(c, object);
    while (Held(c) > count) on_.central.InsertInSpans(static_cast<SizeClass>(c), &Popped(c), 1);
  }
  size_t Held(size_t c) {
    size_t counts[kSizeClassEnd] = {};
    state().AddCounts(counts);
    return counts[c];
  }
  bool has_cache() const { return locals_.cache == &locals_.state->cache; }
  ThreadState& state() { return *locals_.state; }

 private:
  void*& Popped(size_t c) {
    popped_ = Allocate(c);
    return popped_;
  }

  CachesOnFakes& on_;
  ThreadLocals locals_;
  void* popped_ = nullptr;
};

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
  Owner owner(on_);
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
    Owner owner(on_);
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
  Owner owner(on_);
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
  Owner owner(on_);
  owner.Fill(kClass, kHeld);
  TakeBack();
  void* object = owner.Allocate(kClass);
  EXPECT_NE(object, nullptr);
  EXPECT_TRUE(owner.has_cache());
  owner.Free(kClass, object);
  EXPECT_EQ(owner.Held(kClass), 1u);
}

TEST_F(IdleCachesTest, ASlowPathThatDoesNotNeedTheCacheLeavesItTaken) {
  Owner owner(on_);
  owner.Fill(kClass, kHeld);
  TakeBack();
  owner.Begin();
  owner.End();
  EXPECT_FALSE(owner.has_cache());
  EXPECT_EQ(owner.Held(kClass), 1u);
}

// What an operation does after it has read where the cache is.
TEST_F(IdleCachesTest, APopThatWasUnderWayIsDone) {
  Owner owner(on_);
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
  Owner owner(on_);
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
  Owner owner(on_);
  owner.Fill(kClass, kHeld);
  owner.Begin();
  TakeBack();
  EXPECT_GT(owner.Held(kClass), 100u);
  owner.End();
  EXPECT_TRUE(owner.has_cache());
  EXPECT_EQ(idle_.Stats().caches, 0u);
}

TEST_F(IdleCachesTest, AThreadThatMovesItsStacksKeepsItsCache) {
  Owner owner(on_);
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
  Owner owner(on_);
  owner.Free(kClass, owner.Allocate(kClass));
  TakeBack();
  EXPECT_TRUE(owner.has_cache());
}

TEST_F(IdleCachesTest, SaysWhenNothingMoreIsToBeDone) {
  Owner owner(on_);
  owner.Fill(kClass, kHeld);
  EXPECT_EQ(Look(), IdleCaches::kLookMs);
  EXPECT_EQ(Look(), IdleCaches::kForever);
  idle_.NoteActivity();
  on_.clock.Advance(400);
  EXPECT_EQ(idle_.Look(on_.clock.NowMs()), IdleCaches::kLookMs - 400);
}

TEST_F(IdleCachesTest, AFlushAndTheEndOfAThreadRespectWhatIsTaken) {
  {
    Owner flushed(on_);
    flushed.Fill(kClass, kHeld);
    Owner ended(on_);
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
  std::vector<std::unique_ptr<Owner>> owners;
  for (int i = 0; i < 130; ++i) {
    owners.push_back(std::make_unique<Owner>(on_));
    owners.back()->Fill(kClass, 100);
  }
  TakeBack();
  EXPECT_EQ(idle_.Stats().caches, 130u);
}

TEST_F(IdleCachesTest, NotUnlessWanted) {
  Owner owner(on_);
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

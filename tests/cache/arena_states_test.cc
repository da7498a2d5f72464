// SPDX-License-Identifier: Apache-2.0
//
// What a thread caches of an explicit arena: whose objects it gives, what becomes of them when the
// arena is reset or the thread sleeps or ends, and that neither objects nor budget are lost.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <vector>

#include "allocator/cache/idle_caches.h"
#include "allocator/cache/thread_locals.h"
#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 6;  // 96 bytes
constexpr size_t kHeld = 200;

class ArenaStatesTest : public testing::Test {
 protected:
  ArenaStatesTest() : locals_{&on_.empty_cache, nullptr, 0, false} {
    EXPECT_TRUE(on_.arenas.Create({.dirty_decay_ms = 1000, .muzzy_decay_ms = 0}, &arena_));
    locals_.state = on_.registry.Create(&locals_);
    state_ = locals_.state->of_arena = on_.registry.CreateFor(arena_, &locals_);
  }
  ~ArenaStatesTest() {
    EXPECT_TRUE(on_.registry.CheckInvariants());
    EndOfThread();
    on_.registry.ReturnKept();
    EXPECT_EQ(on_.budget.left(), CachesOnFakes::kBudget);
    EXPECT_TRUE(on_.arenas.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  void EndOfThread() {
    if (state_ != nullptr) on_.registry.Destroy(state_);
    if (locals_.state != nullptr) on_.registry.Destroy(locals_.state);
    state_ = locals_.state = nullptr;
  }
  template <typename Work>
  void SlowPath(Work work) {
    BeginSlowPath(locals_, &on_.empty_cache);
    work();
    EndSlowPath(locals_, &on_.empty_cache);
  }
  // As a thread that is bound to the arena allocates and frees.
  void* Allocate(size_t c = kClass) {
    void* object = state_->MayHit() ? state_->PopOfArena(c) : nullptr;
    if (object != nullptr) return object;
    SlowPath([&] {
      state_->UseCache();
      bool zeroed;
      object = state_->PopOfArena(c);
      if (object == nullptr) object = state_->Refill(c, &zeroed);
    });
    return object;
  }
  void Free(void* object, size_t c = kClass) {
    if (state_->MayHit() && state_->PushOfArena(c, object)) return;
    SlowPath([&] {
      state_->UseCache();
      if (!state_->PushOfArena(c, object)) state_->Overflow(c, object);
    });
  }
  std::vector<void*> AllocateMany(size_t count, size_t c = kClass) {
    std::vector<void*> objects;
    for (size_t i = 0; i < count; ++i) objects.push_back(Allocate(c));
    return objects;
  }
  void FreeAll(const std::vector<void*>& objects, size_t c = kClass) {
    for (void* object : objects) Free(object, c);
  }
  size_t Held(size_t c = kClass) {
    size_t counts[kSizeClassEnd] = {};
    state_->AddCounts(counts);
    return counts[c];
  }
  // What the program holds, of what the arena gave.
  size_t Outside(size_t c = kClass) {
    CentralFreeListStats stats = {};
    on_.arenas.AddStats(arena_, static_cast<SizeClass>(c), &stats);
    return stats.taken - stats.returned - Held(c);
  }
  CentralFreeListStats Stats(size_t c = kClass) {
    CentralFreeListStats stats = {};
    on_.arenas.AddStats(arena_, static_cast<SizeClass>(c), &stats);
    return stats;
  }
  void TakeBack() {
    IdleCaches idle(on_.registry);
    idle.SetWanted(true);
    idle.Begin();
    for (int look = 0; look < 2; ++look) {
      on_.clock.Advance(IdleCaches::kLookMs);
      idle.Look(on_.clock.NowMs());
    }
  }

  CachesOnFakes on_;
  ThreadLocals locals_;
  unsigned arena_ = 0;
  ThreadState* state_ = nullptr;
};

TEST_F(ArenaStatesTest, GivesTheArenasObjectsInBatches) {
  std::set<void*> objects;
  for (int i = 0; i < 1000; ++i) {
    void* object = Allocate();
    EXPECT_TRUE(objects.insert(object).second);
    const Span* span = on_.page_map.SpanOf(object);
    ASSERT_TRUE(ArenaSet::Owns(span));
    ASSERT_EQ(ArenaSet::IndexOf(span), arena_);
  }
  EXPECT_LT(Stats().fills, 100u);
  EXPECT_EQ(Outside(), 1000u);
  for (void* object : objects) Free(object);
  EXPECT_LT(Stats().flushes, 100u);
  EXPECT_EQ(Outside(), 0u);
  EXPECT_EQ(on_.central.Stats(kClass).taken, 0u);
  EXPECT_EQ(on_.central.Stats(kClass).returned, 0u);
}

TEST_F(ArenaStatesTest, ItsOwnersThreadIsOneThread) {
  EXPECT_EQ(on_.registry.threads(), 1u);
  EXPECT_EQ(on_.registry.created(), 1u);
  EndOfThread();
  EXPECT_EQ(on_.registry.threads(), 0u);
}

TEST_F(ArenaStatesTest, CountsAreTheArenas) {
  FreeAll(AllocateMany(50));
  size_t counts[2][kSizeClassEnd] = {};
  on_.registry.AddCounts([&](unsigned arena) { return counts[arena]; });
  ASSERT_EQ(arena_, 1u);
  EXPECT_EQ(counts[0][kClass], 0u);
  EXPECT_EQ(counts[1][kClass], Held());
  EXPECT_GT(Held(), 0u);
}

TEST_F(ArenaStatesTest, AResetMakesItForgetWhatItHolds) {
  FreeAll(AllocateMany(kHeld));
  const std::vector<void*> lost = AllocateMany(10);
  ASSERT_GT(Held(), 0u);
  ASSERT_TRUE(on_.arenas.Reset(arena_));
  EXPECT_EQ(Held(), 0u) << "before its thread looks";
  EXPECT_EQ(state_->PopOfArena(kClass), nullptr);
  EXPECT_FALSE(state_->PushOfArena(kClass, lost[0]));
  const std::vector<void*> objects = AllocateMany(2 * kHeld);
  EXPECT_EQ(std::set<void*>(objects.begin(), objects.end()).size(), 2 * kHeld);
  for (void* object : objects) ASSERT_NE(on_.page_map.SpanOf(object), nullptr);
  EXPECT_EQ(Outside(), 2 * kHeld);
  EXPECT_TRUE(state_->CheckInvariants());
  FreeAll(objects);
  EXPECT_EQ(Outside(), 0u);
}

// Whatever the thread, or another for it, does next after a reset, it returns nothing.
TEST_F(ArenaStatesTest, NothingGoesBackAfterAReset) {
  const auto fill = [this] {
    FreeAll(AllocateMany(kHeld));
    FreeAll(AllocateMany(30, kClass + 10), kClass + 10);
    ASSERT_GT(Held(), 50u);
  };
  fill();
  ASSERT_TRUE(on_.arenas.Reset(arena_));
  SlowPath([&] { locals_.state->FlushAll(); });
  fill();
  ASSERT_TRUE(on_.arenas.Reset(arena_));
  for (int i = 0; i < 3; ++i) SlowPath([&] { locals_.state->ReturnIdle(); });
  fill();
  ASSERT_TRUE(on_.arenas.Reset(arena_));
  TakeBack();
  EXPECT_EQ(Held(), 0u);
  fill();
  TakeBack();
  EXPECT_LE(Held(), 1u);
  ASSERT_TRUE(on_.arenas.Reset(arena_));
  EXPECT_EQ(Held(), 0u);
  fill();
  ASSERT_TRUE(on_.arenas.Destroy(arena_));
  EXPECT_EQ(Held(), 0u);
  EXPECT_EQ(Allocate(), nullptr);
  unsigned again = 0;
  ASSERT_TRUE(on_.arenas.Create({.dirty_decay_ms = 0, .muzzy_decay_ms = 0}, &again));
  ASSERT_EQ(again, arena_);
  EXPECT_EQ(state_->PopOfArena(kClass), nullptr);
  fill();
  ASSERT_TRUE(on_.arenas.Destroy(arena_));
  EndOfThread();
}

TEST_F(ArenaStatesTest, WhatASleepingThreadHoldsGoesBack) {
  FreeAll(AllocateMany(kHeld));
  const size_t held = Held();
  ASSERT_GT(held, 100u);
  TakeBack();
  EXPECT_EQ(Held(), 1u);
  EXPECT_FALSE(state_->MayHit());
  EXPECT_EQ(Outside(), 0u);
  EXPECT_EQ(on_.budget.left(), CachesOnFakes::kBudget);
  // A hit that was under way.
  void* object = state_->PopOfArena(kClass);
  ASSERT_NE(object, nullptr);
  EXPECT_TRUE(state_->CheckInvariants());
  void* next = Allocate();
  EXPECT_NE(next, object);
  EXPECT_TRUE(state_->MayHit());
  Free(next);
  Free(object);
  EXPECT_EQ(Outside(), 0u);
}

TEST_F(ArenaStatesTest, TheThreadsFlushAndItsTicksReachIt) {
  FreeAll(AllocateMany(kHeld));
  SlowPath([&] { locals_.state->ReturnIdle(); });
  EXPECT_GT(Held(), 0u);
  SlowPath([&] { locals_.state->ReturnIdle(); });
  EXPECT_EQ(Held(), 0u);
  FreeAll(AllocateMany(kHeld));
  SlowPath([&] { locals_.state->FlushAll(); });
  EXPECT_EQ(Held(), 0u);
  EXPECT_EQ(Outside(), 0u);
}

TEST_F(ArenaStatesTest, AHiddenOneIsHitInSlowPathsOnly) {
  FreeAll(AllocateMany(10));
  SlowPath([&] { state_->SetHidden(true); });
  EXPECT_FALSE(state_->MayHit());
  Free(Allocate());
  EXPECT_FALSE(state_->MayHit());
  SlowPath([&] { state_->SetHidden(false); });
  EXPECT_TRUE(state_->MayHit());
}

TEST_F(ArenaStatesTest, AnObjectFreedTwiceInARowIsSeen) {
  const std::vector<void*> objects = AllocateMany(3);
  EXPECT_FALSE(state_->IsOnTop(kClass, objects[0]));
  Free(objects[0]);
  EXPECT_FALSE(state_->PushOfArena(kClass, objects[0]));
  EXPECT_TRUE(state_->IsOnTop(kClass, objects[0]));
  Free(objects[1]);
  EXPECT_FALSE(state_->IsOnTop(kClass, objects[0]));
  Free(objects[2]);
}

TEST_F(ArenaStatesTest, OneFreedTwiceIsReportedWhenItComesHome) {
  const std::vector<void*> objects = AllocateMany(2);
  Free(objects[0]);
  Free(objects[1]);
  Free(objects[0]);
  SlowPath([&] { state_->FlushAll(); });
  const std::vector<BadPointer> faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kDoubleFree);
  EXPECT_EQ(faults[0].pointer, objects[0]);
}

TEST_F(ArenaStatesTest, WithoutMemoryForArraysItServesOn) {
  on_.memory.RefuseAll(FakeVirtualMemory::kMap);
  while (on_.metadata.Allocate(64) != nullptr) {
  }
  EXPECT_EQ(on_.registry.CreateFor(arena_, &locals_), nullptr);
  on_.memory.RefuseNothing();
}

// In the child of a fork the states of other threads are nobody's. Its own thread goes on with
// both of its, and the arena may be gone before the others are looked at.
TEST_F(ArenaStatesTest, AForkedChildKeepsItsOwnAndForgetsTheOthers) {
  FreeAll(AllocateMany(kHeld));
  ThreadLocals others{&on_.empty_cache, nullptr, 0, false};
  others.state = on_.registry.Create(&others);
  others.state->of_arena = on_.registry.CreateFor(arena_, &others);
  bool zeroed;
  void* object = others.state->of_arena->Refill(kClass, &zeroed);
  others.state->of_arena->Overflow(kClass, object);
  for (const bool reset : {false, true}) {
    on_.registry.LockAll();
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      on_.registry.ResetAfterFork(locals_.state);
      const size_t held = Held();
      if (reset) on_.arenas.Reset(arena_);
      on_.registry.AdoptOrphans();
      const bool kept = Held() == (reset ? 0 : held) && held != 0;
      FreeAll(AllocateMany(kHeld));
      const bool good = kept && Outside() == 0 && FaultLog::Take().empty() &&
                        on_.registry.threads() == 1 && on_.registry.CheckInvariants();
      _exit(good ? 0 : 1);
    }
    on_.registry.UnlockAll();
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << reset;
  }
  on_.registry.Destroy(others.state->of_arena);
  on_.registry.Destroy(others.state);
}

}  // namespace
}  // namespace spanmalloc

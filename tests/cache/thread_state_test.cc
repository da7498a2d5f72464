// SPDX-License-Identifier: Apache-2.0
//
// One thread's cache: what it fetches and gives back, how much it may hold, and that neither
// objects nor budget are lost.
#include "allocator/cache/thread_state.h"

#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "allocator/params/size_class_map.h"
#include "allocator/params/span_shapes.h"
#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 6;  // 96 bytes

class ThreadStateTest : public testing::Test {
 protected:
  explicit ThreadStateTest(int64_t budget = CachesOnFakes::kBudget)
      : on_(budget), whole_budget_(budget), state_(std::make_unique<ThreadState>(on_.context)) {}
  ~ThreadStateTest() {
    Check();
    state_->TearDown();
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      EXPECT_EQ(state_->cache.Pop(c), nullptr);
      EXPECT_FALSE(state_->cache.Push(c, &on_));
    }
    EXPECT_EQ(on_.budget.left(), whole_budget_) << "the budget isn't whole again";
    EXPECT_TRUE(on_.central.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  void Check() {
    EXPECT_TRUE(state_->CheckInvariants());
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      ASSERT_LE(Held(c), kSizeClassTable[c].cache_limit) << "class " << c;
    }
  }
  void* Allocate(size_t c) { return on_.Allocate(state_.get(), c); }
  void Free(size_t c, void* object) { on_.Free(state_.get(), c, object); }
  size_t Held(size_t c) {
    size_t counts[kSizeClassEnd] = {};
    state_->AddCounts(counts);
    return counts[c];
  }
  size_t Outside(size_t c) { return on_.Outside(c, Held(c)); }
  std::vector<void*> AllocateMany(size_t c, size_t count) {
    std::vector<void*> objects;
    for (size_t i = 0; i < count; ++i) objects.push_back(Allocate(c));
    return objects;
  }
  void FreeAll(size_t c, const std::vector<void*>& objects) {
    for (void* object : objects) Free(c, object);
  }
  // An object that the thread never allocated.
  void* Stray(size_t c) {
    void* object = nullptr;
    EXPECT_EQ(on_.central.Remove(static_cast<SizeClass>(c), &object, 1), 1u);
    return object;
  }

  CachesOnFakes on_;
  const int64_t whole_budget_;
  std::unique_ptr<ThreadState> state_;
};

TEST_F(ThreadStateTest, ANewStateHoldsNothing) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) EXPECT_EQ(Held(c), 0u);
  EXPECT_EQ(on_.budget.left(), whole_budget_);
}

TEST_F(ThreadStateTest, AMissFetchesSomeAndKeepsTheRest) {
  void* first = Allocate(kClass);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(Held(kClass), 3u);
  auto* previous = static_cast<char*>(first);
  for (int i = 0; i < 3; ++i) {
    auto* next = static_cast<char*>(Allocate(kClass));
    EXPECT_EQ(next, previous + kSizeClassTable[kClass].size) << "not the next higher address";
    previous = next;
  }
  EXPECT_EQ(Held(kClass), 0u);
  EXPECT_EQ(Outside(kClass), 4u);
}

TEST_F(ThreadStateTest, EveryClassConservesItsObjects) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const std::vector<void*> objects = AllocateMany(c, 100);
    ASSERT_EQ(std::set<void*>(objects.begin(), objects.end()).size(), 100u);
    ASSERT_EQ(Outside(c), 100u);
    FreeAll(c, objects);
    ASSERT_EQ(Outside(c), 0u);
    Check();
  }
}

TEST_F(ThreadStateTest, FreshObjectsMayBeZeroedAndCachedOnesAreNot) {
  bool zeroed = false;
  void* object = on_.Allocate(state_.get(), kClass, &zeroed);
  EXPECT_TRUE(zeroed);
  EXPECT_EQ(*static_cast<char*>(object), 0);
  Free(kClass, object);
  on_.Allocate(state_.get(), kClass, &zeroed);
  EXPECT_FALSE(zeroed);
}

TEST_F(ThreadStateTest, AFullBinFlushesItsOldest) {
  // With all the objects it may ever hold and more.
  const std::vector<void*> objects = AllocateMany(kClass, 3000);
  FreeAll(kClass, objects);
  EXPECT_LE(Held(kClass), kSizeClassTable[kClass].cache_limit);
  EXPECT_GT(Held(kClass), 0u);
  // On top lies what was freed last.
  EXPECT_EQ(Allocate(kClass), objects.back());
  Free(kClass, objects.back());
  EXPECT_EQ(Outside(kClass), 0u);
}

TEST_F(ThreadStateTest, FlushAllReturnsEverything) {
  for (size_t c = 1; c < kSizeClassEnd; c += 5) FreeAll(c, AllocateMany(c, 50));
  state_->FlushAll();
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    ASSERT_EQ(Held(c), 0u);
    ASSERT_EQ(Outside(c), 0u);
  }
  on_.central.Drain();
  EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u);
}

TEST_F(ThreadStateTest, StraysGoHomeUntilThereAreMany) {
  constexpr int kStrays = 64;
  for (int i = 0; i < kStrays; ++i) {
    Free(kClass, Stray(kClass));
    ASSERT_EQ(Held(kClass), 0u) << "stray " << i << " was kept";
    ASSERT_EQ(on_.central.Stats(kClass).array_objects, 0u) << "not in its span";
    ASSERT_EQ(Outside(kClass), 0u);
  }
  Free(kClass, Stray(kClass));
  EXPECT_EQ(Held(kClass), 1u) << "a thread that frees so many gets a bin";
}

// What it holds it never takes out again.
TEST_F(ThreadStateTest, AThreadThatOnlyFreesHoldsABatchAndReturnsItWhole) {
  const SizeClassInfo& info = kSizeClassTable[kClass];
  while (Held(kClass) == 0) Free(kClass, Stray(kClass));
  for (size_t i = 0; i < 20; ++i) {
    while (Held(kClass) < info.batch) Free(kClass, Stray(kClass));
    const uint64_t flushes = on_.central.Stats(kClass).flushes;
    Free(kClass, Stray(kClass));
    ASSERT_EQ(Held(kClass), 1u) << "not all was returned";
    ASSERT_EQ(on_.central.Stats(kClass).flushes, flushes + 1) << "not at once";
  }
  EXPECT_GE(on_.budget.left(), whole_budget_ - 2 * CacheBudget::kQuantum);
  EXPECT_EQ(Outside(kClass), 0u);
}

// A look at an idle bin halves what it may hold.
TEST_F(ThreadStateTest, AThreadThatOnlyFreesGetsItsBatchAgainAfterABreak) {
  const SizeClassInfo& info = kSizeClassTable[kClass];
  while (Held(kClass) == 0) Free(kClass, Stray(kClass));
  for (int i = 0; i < 3; ++i) state_->ReturnIdle();
  EXPECT_EQ(Held(kClass), 0u);
  size_t most = 0;
  for (size_t i = 0; i < 2 * info.batch; ++i) {
    Free(kClass, Stray(kClass));
    if (Held(kClass) > most) most = Held(kClass);
  }
  EXPECT_EQ(most, info.batch);
}

TEST_F(ThreadStateTest, AThreadThatAllocatesAgainHoldsMore) {
  const SizeClassInfo& info = kSizeClassTable[kClass];
  std::vector<void*> strays;
  for (size_t i = 0; i < 4 * info.batch; ++i) strays.push_back(Stray(kClass));
  FreeAll(kClass, strays);
  FreeAll(kClass, AllocateMany(kClass, 8 * info.batch));
  EXPECT_GT(Held(kClass), info.batch);
}

TEST_F(ThreadStateTest, IdleBinsAreReturnedAndBusyOnesStay) {
  constexpr size_t kIdle = 9;
  FreeAll(kIdle, AllocateMany(kIdle, 40));
  FreeAll(kClass, AllocateMany(kClass, 40));
  const size_t held = Held(kIdle);
  ASSERT_GT(held, 0u);
  state_->ReturnIdle();  // both were touched since the beginning
  EXPECT_EQ(Held(kIdle), held);
  void* object = Allocate(kClass);
  state_->ReturnIdle();
  EXPECT_EQ(Held(kIdle), 0u);
  EXPECT_GT(Held(kClass), 0u);
  EXPECT_EQ(Outside(kIdle), 0u);
  Free(kClass, object);
}

TEST_F(ThreadStateTest, BudgetComesBackFromIdleBins) {
  for (size_t c = 1; c < 50; ++c) FreeAll(c, AllocateMany(c, 200));
  const int64_t left = on_.budget.left();
  ASSERT_LT(left, whole_budget_);
  for (int i = 0; i < 40; ++i) {
    state_->ReturnIdle();
    Check();
  }
  // All but what a thread keeps at hand.
  EXPECT_GE(on_.budget.left(), whole_budget_ - 2 * CacheBudget::kQuantum);
}

TEST_F(ThreadStateTest, SlowPathsReturnIdleBinsFromTimeToTime) {
  constexpr size_t kIdle = 9;
  FreeAll(kIdle, AllocateMany(kIdle, 40));
  ASSERT_GT(Held(kIdle), 0u);
  // Hundreds of misses and overflows of another class.
  const auto keep_busy = [&] { FreeAll(kClass, AllocateMany(kClass, 20000)); };
  keep_busy();
  EXPECT_GT(Held(kIdle), 0u) << "returned although no time has passed";
  for (int i = 0; i < 3; ++i) {
    on_.clock.Advance(1000);
    keep_busy();
  }
  EXPECT_EQ(Held(kIdle), 0u);
}

TEST_F(ThreadStateTest, ASummonedThreadMissesAsOftenAsPagesDecay) {
  const auto misses = [this] { return state_->cache.small_class[kClass] == kNoSizeClass; };
  EXPECT_FALSE(misses());
  state_->Summon(/*pages=*/3, /*now_ms=*/100, /*until_ms=*/200);
  EXPECT_TRUE(misses());
  state_->NoteSummoned();
  state_->Summon(2, 110, 210);
  state_->Summon(4, 120, 220);  // two more than before
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(misses()) << i;
    state_->NoteSummoned();
  }
  EXPECT_FALSE(misses());
  state_->Summon(4, 130, 230);
  EXPECT_FALSE(misses()) << "no more than before";
  EXPECT_EQ(state_->cache.small_class, kSmallClassTable);
}

TEST_F(ThreadStateTest, ASummonsEndsWithItsTimeAndWithTheThread) {
  state_->Summon(3, 100, 200);
  state_->Summon(0, 150, 160);
  state_->Summon(0, 199, 0);
  EXPECT_TRUE(state_->summoned()) << "what decayed is gone, other work may be left";
  state_->Summon(0, 200, 0);
  EXPECT_FALSE(state_->summoned());
  EXPECT_EQ(state_->cache.small_class, kSmallClassTable);

  state_->Summon(3, 300, 400);
  state_->TearDown();
  EXPECT_FALSE(state_->summoned());
  EXPECT_EQ(state_->cache.small_class, kSmallClassTable);
  state_->Summon(3, 300, 400);
  EXPECT_TRUE(state_->summoned()) << "the next thread is told anew";
}

TEST_F(ThreadStateTest, OutOfMemoryIsNull) {
  on_.memory.RefuseAll(FakeVirtualMemory::kMapAt);
  size_t count = 0;
  while (Allocate(kSizeClasses) != nullptr) ++count;
  EXPECT_EQ(Outside(kSizeClasses), count);
  on_.memory.RefuseNothing();
  EXPECT_NE(Allocate(kSizeClasses), nullptr);
}

// A thread without memory for arrays still allocates and frees, through the central lists.
TEST_F(ThreadStateTest, WorksWithoutMemoryForArrays) {
  void* warm = Stray(kClass);  // makes the shard and a span
  on_.memory.RefuseAll(FakeVirtualMemory::kMap);
  while (on_.metadata.Allocate(64) != nullptr) {
  }
  const std::vector<void*> objects = AllocateMany(kClass, 50);
  EXPECT_EQ(std::set<void*>(objects.begin(), objects.end()).size(), 50u);
  EXPECT_EQ(Held(kClass), 0u);
  Check();
  FreeAll(kClass, objects);
  Free(kClass, warm);
  EXPECT_EQ(Outside(kClass), 0u);
  on_.memory.RefuseNothing();
}

TEST_F(ThreadStateTest, RandomUseKeepsAllInvariants) {
  std::mt19937 random(12);
  std::vector<std::pair<size_t, void*>> live;
  for (int step = 0; step < 30000; ++step) {
    const bool growing = step / 3000 % 2 == 0;
    if (live.empty() || random() % 10 < (growing ? 6u : 4u)) {
      const size_t c = 1 + random() % kSizeClasses;
      live.emplace_back(c, Allocate(c));
    } else {
      std::swap(live[random() % live.size()], live.back());
      Free(live.back().first, live.back().second);
      live.pop_back();
    }
    if (step % 500 == 0) {
      on_.clock.Advance(random() % 300);
      Check();
      ASSERT_FALSE(HasFailure()) << "step " << step;
    }
  }
  size_t live_of[kSizeClassEnd] = {};
  for (const auto& [c, object] : live) ++live_of[c];
  for (size_t c = 1; c < kSizeClassEnd; ++c) ASSERT_EQ(Outside(c), live_of[c]);
  for (const auto& [c, object] : live) Free(c, object);
}

class WholeSpansTest : public ThreadStateTest {
 protected:
  // The class of blocks of 64 KiB, one in a span.
  const size_t whole_ = SizeClassOf(size_t{64} << 10);

  // A sanitizer's runtime may have a thread of its own.
  void SetUp() override {
    if (!os::RankedLock::Alone()) GTEST_SKIP() << "the process has several threads";
  }
  void GrowHeap(size_t bytes) {
    while (on_.node_heaps.PeakBytes() < bytes) Allocate(kClass);
  }
};

TEST_F(WholeSpansTest, GoBackBeforeTheHeapGrows) {
  ASSERT_TRUE(IsWholeSpan(whole_));
  FreeAll(whole_, AllocateMany(whole_, 12));
  const std::vector<void*> small = AllocateMany(kClass, 100);
  FreeAll(kClass, small);
  ASSERT_GT(Held(whole_), 0u);
  ASSERT_GT(on_.central.Stats(static_cast<SizeClass>(whole_)).array_objects, 0u);
  GrowHeap(size_t{6} << 20);
  EXPECT_EQ(Held(whole_), 0u);
  EXPECT_EQ(on_.central.Stats(static_cast<SizeClass>(whole_)).array_objects, 0u);
  EXPECT_EQ(on_.central.Stats(static_cast<SizeClass>(whole_)).spans, 0u);
  Check();
}

TEST_F(WholeSpansTest, StayWhileTheHeapHasRoomBelowItsPeak) {
  GrowHeap(size_t{6} << 20);
  std::vector<void*> objects = AllocateMany(kClass, 20000);
  FreeAll(kClass, objects);
  state_->FlushAll();
  on_.central.Drain();
  FreeAll(whole_, AllocateMany(whole_, 2));
  const size_t held = Held(whole_);
  ASSERT_GT(held, 0u);
  objects = AllocateMany(kClass, 10000);
  EXPECT_EQ(Held(whole_), held);
  FreeAll(kClass, objects);
}

TEST_F(WholeSpansTest, GoBackByThemselvesToo) {
  FreeAll(whole_, AllocateMany(whole_, 12));
  FreeAll(kClass, AllocateMany(kClass, 100));
  const size_t held = Held(kClass);
  state_->ReturnWholeSpans();
  EXPECT_EQ(Held(whole_), 0u);
  EXPECT_EQ(on_.central.Stats(static_cast<SizeClass>(whole_)).spans, 0u);
  EXPECT_EQ(Held(kClass), held);
}

class NoBudgetTest : public ThreadStateTest {
 protected:
  NoBudgetTest() : ThreadStateTest(0) {}
};

TEST_F(NoBudgetTest, AThreadKeepsNoMoreThanItsRefills) {
  for (size_t c : {size_t{1}, kClass, size_t{30}, kSizeClasses}) {
    FreeAll(c, AllocateMany(c, 1000));
    EXPECT_LE(Held(c), kSizeClassTable[c].batch) << "class " << c;
    EXPECT_EQ(Outside(c), 0u);
    Check();
  }
}

// What an idle thread may keep for ever.
TEST_F(NoBudgetTest, AThreadThatUsesAllClassesKeepsHalfAMebibyte) {
  size_t bytes = 0;
  for (size_t c = 1; c <= kSizeClasses; ++c) {
    FreeAll(c, AllocateMany(c, 200));
    if (kSizeClassTable[c].size > 16384) EXPECT_EQ(Held(c), 0u) << "class " << c;
    bytes += Held(c) * kSizeClassTable[c].size;
  }
  EXPECT_LE(bytes, size_t{512} << 10);
}

}  // namespace
}  // namespace spanmalloc

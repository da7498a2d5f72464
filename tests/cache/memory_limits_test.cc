// SPDX-License-Identifier: Apache-2.0
//
// Memory limits over a heap, a kernel and control groups that the test makes up: when memory goes
// back and through which stages, how often that is tried, and what the hard limit refuses.
#include "allocator/cache/memory_limits.h"

#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"
#include "tests/support/pin_to_cpu.h"

namespace spanmalloc {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPagesPerMiB = kMiB >> kPageShift;
constexpr SizeClass kClass = 32;
constexpr SizeClass kOtherClass = 40;

class MemoryLimitsTest : public testing::Test {
 protected:
  ~MemoryLimitsTest() {
    EXPECT_TRUE(on_.central.CheckInvariants());
    EXPECT_TRUE(on_.page_heap.CheckInvariants());
    EXPECT_TRUE(limits_.CheckInvariants());
  }

  Span* TryLarge(size_t mib) { return on_.page_heap.AllocateLarge(mib * kPagesPerMiB, 1); }
  Span* Large(size_t mib) {
    Span* span = TryLarge(mib);
    EXPECT_NE(span, nullptr) << mib;
    return span;
  }
  void Free(Span* span) {
    ASSERT_EQ(on_.page_heap.FreeLarge(reinterpret_cast<void*>(span->start)), LargeFault::kNone);
  }
  // Free pages that the page heap keeps, in blocks too small to go back by themselves.
  void MakeDirty(size_t mib) {
    std::vector<Span*> spans;
    for (size_t made = 0; made < mib; made += 8) spans.push_back(Large(8));
    for (Span* span : spans) Free(span);
  }
  std::vector<void*> Objects(SizeClass c, size_t mib) {
    std::vector<void*> objects(mib * kMiB / kSizeClassTable[c].size);
    for (void*& object : objects) EXPECT_EQ(on_.central.Remove(c, &object, 1), 1u);
    return objects;
  }
  size_t DirtyMiB() { return on_.page_heap.FreeDirtyPages() / kPagesPerMiB; }
  size_t HeldMiB() { return on_.page_heap.HeldPages() / kPagesPerMiB; }
  MemoryLimitsStats Stats() { return on_.limits.Stats(); }
  // As slow paths do in passing.
  void Pass(ThreadState* own = nullptr) {
    const uint64_t now = on_.clock.NowMs();
    if (on_.limits.Due(now)) on_.limits.Check(now, own);
  }
  void WriteGroup(size_t max_mib, size_t used_mib, const char* high = "max") {
    on_.files.files["/proc/self/cgroup"] = "0::/one\n";
    on_.files.files["/sys/fs/cgroup/one/memory.max"] = std::to_string(max_mib * kMiB);
    on_.files.files["/sys/fs/cgroup/one/memory.high"] = high;
    on_.files.files["/sys/fs/cgroup/one/memory.current"] = std::to_string(used_mib * kMiB);
  }

  CachesOnFakes on_;
  MemoryLimits& limits_ = on_.limits;
};

TEST_F(MemoryLimitsTest, WithoutLimitsNothingIsEverDue) {
  limits_.Start(0, 0, GroupLimits::kIgnore);
  MakeDirty(256);
  on_.clock.Advance(1'000'000);
  EXPECT_FALSE(limits_.Due(on_.clock.NowMs()));
  EXPECT_EQ(on_.files.reads, 0);
}

// ---- the soft limit and the stages ----

TEST_F(MemoryLimitsTest, BelowTheSoftLimitNothingGoesBack) {
  limits_.Start(100 * kMiB, 0, GroupLimits::kIgnore);
  MakeDirty(64);
  on_.clock.Advance(10'000);
  Pass();
  EXPECT_EQ(Stats().passes, 0u);
  EXPECT_EQ(DirtyMiB(), 64u);
}

TEST_F(MemoryLimitsTest, GrowthBeyondTheSoftLimitIsNoticedAndFreePagesAreEnough) {
  limits_.Start(100 * kMiB, 0, GroupLimits::kIgnore);
  ThreadState* state = on_.registry.Create();
  on_.Free(state, kClass, on_.Allocate(state, kClass));
  Span* kept = Large(50);
  MakeDirty(40);
  EXPECT_FALSE(limits_.Due(on_.clock.NowMs()));
  // Not out of the free pages: they are in pieces. (A run takes whole huge pages.)
  Large(40);
  Large(30);
  EXPECT_TRUE(on_.page_heap.HasGrown());
  EXPECT_TRUE(limits_.Due(on_.clock.NowMs()));
  const size_t before = HeldMiB();
  MakeDirty(16);
  Pass(state);
  EXPECT_LT(HeldMiB(), before + 16);
  const MemoryLimitsStats stats = Stats();
  EXPECT_EQ(stats.passes, 1u);
  EXPECT_GE(stats.pages.bytes, 16 * kMiB);
  Free(kept);
  on_.registry.Destroy(state);
}

TEST_F(MemoryLimitsTest, StopsAtTheFirstStageThatIsEnough) {
  ThreadState* state = on_.registry.Create();
  on_.Free(state, kClass, on_.Allocate(state, kClass));
  Large(60);
  MakeDirty(64);
  limits_.Start(100 * kMiB, 0, GroupLimits::kIgnore);
  on_.clock.Advance(2'000);
  Pass(state);
  const MemoryLimitsStats stats = Stats();
  EXPECT_EQ(stats.passes, 1u);
  EXPECT_EQ(stats.thread_caches.runs, 0u);
  EXPECT_EQ(stats.central_lists.runs, 0u);
  EXPECT_EQ(stats.pages.runs, 1u);
  EXPECT_EQ(stats.spans.runs, 0u);
  EXPECT_EQ(stats.fruitless, 0u);
  EXPECT_LE(HeldMiB(), 100u);
  EXPECT_GE(HeldMiB(), 90u) << "far more than was too much";
  on_.registry.Destroy(state);
}

TEST_F(MemoryLimitsTest, ThreadCacheThenCentralListsThenSpans) {
  ThreadState* state = on_.registry.Create();
  // The cache holds objects; the CPUs' lists hold a whole span's worth; spans lie half empty.
  std::vector<void*> cached;
  for (int i = 0; i < 2000; ++i) cached.push_back(on_.Allocate(state, kOtherClass));
  std::vector<void*> scattered = Objects(kClass, 64);
  for (size_t i = 0; i < scattered.size(); ++i) {
    if (i % ShapeOf(kClass).objects != 0) on_.central.Insert(kClass, &scattered[i], 1);
  }
  for (void* object : cached) on_.Free(state, kOtherClass, object);
  const size_t held = on_.page_heap.HeldPages() * kPageSize;
  limits_.Start(held / 2, 0, GroupLimits::kIgnore);
  on_.clock.Advance(2'000);
  Pass(state);
  MemoryLimitsStats stats = Stats();
  EXPECT_EQ(stats.thread_caches.runs, 1u);
  EXPECT_EQ(stats.central_lists.runs, 1u);
  EXPECT_GE(stats.pages.runs, 1u);
  EXPECT_EQ(stats.spans.runs, 1u);
  EXPECT_GT(stats.spans.bytes, held / 4);
  EXPECT_LE(held - stats.pages.bytes - stats.spans.bytes, held / 2);
  EXPECT_GE(held - stats.pages.bytes - stats.spans.bytes, held / 4) << "more than was too much";
  // What the kernel has inside spans doesn't count: nothing is missing any more.
  on_.clock.Advance(20'000);
  Pass(state);
  EXPECT_EQ(Stats().passes, 1u);
  on_.registry.Destroy(state);
}

TEST_F(MemoryLimitsTest, APassIsBounded) {
  MakeDirty(512);
  limits_.Start(kMiB, 0, GroupLimits::kIgnore);
  on_.clock.Advance(2'000);
  Pass();
  EXPECT_LE(Stats().pages.bytes, 66 * kMiB);
  EXPECT_GE(Stats().pages.bytes, 64 * kMiB);
  // There is more, and it goes at the shortest interval.
  for (int i = 0; i < 8; ++i) {
    on_.clock.Advance(100);
    Pass();
  }
  EXPECT_EQ(DirtyMiB(), 0u);
}

TEST_F(MemoryLimitsTest, AProgramThatLivesAboveItsLimitIsLeftAloneMoreAndMore) {
  Large(200);
  limits_.Start(100 * kMiB, 0, GroupLimits::kIgnore);
  on_.clock.Advance(2'000);
  uint64_t passes = 0;
  for (int second = 0; second < 60; ++second) {
    for (int i = 0; i < 100; ++i) {
      Pass();
      on_.clock.Advance(10);
    }
    if (second == 9) passes = Stats().passes;
  }
  EXPECT_LE(passes, 8u);
  EXPECT_LE(Stats().passes, passes + 6);
  EXPECT_EQ(Stats().fruitless, Stats().passes);
  // Its growth isn't looked at in every step either.
  const int before = static_cast<int>(Stats().passes);
  for (int i = 0; i < 100; ++i) {
    Large(1);
    Pass();
  }
  EXPECT_LE(static_cast<int>(Stats().passes), before + 1);
}

TEST_F(MemoryLimitsTest, SteadyChurnAboveTheLimitIsPaidForSeldom) {
  Large(90);
  limits_.Start(100 * kMiB, 0, GroupLimits::kIgnore);
  for (int i = 0; i < 1000; ++i) {
    MakeDirty(32);
    Pass();
    on_.clock.Advance(10);
  }
  // Ten seconds.
  EXPECT_LE(Stats().passes, 12u);
  EXPECT_GE(Stats().passes, 4u);
}

TEST_F(MemoryLimitsTest, ALimitChangedAtRunTimeActsAtOnce) {
  limits_.Start(0, 0, GroupLimits::kIgnore);
  Large(50);
  MakeDirty(300);
  limits_.SetSoft(100 * kMiB);
  EXPECT_EQ(Stats().soft, 100 * kMiB);
  EXPECT_LE(HeldMiB(), 100u);
  limits_.SetSoft(0);
  MakeDirty(300);
  on_.clock.Advance(60'000);
  EXPECT_FALSE(limits_.Due(on_.clock.NowMs()));
}

TEST_F(MemoryLimitsTest, WhatTheKernelRefusesToTakeIsNoStorm) {
  MakeDirty(200);
  limits_.Start(100 * kMiB, 0, GroupLimits::kIgnore);
  on_.memory.RefuseAll(FakeVirtualMemory::kRelease);
  for (int i = 0; i < 1000; ++i) {
    on_.clock.Advance(10);
    Pass();
  }
  EXPECT_LE(Stats().passes, 10u);
  on_.memory.RefuseNothing();
}

// ---- the hard limit ----

TEST_F(MemoryLimitsTest, TheHardLimitRefusesWhatDoesNotFit) {
  limits_.Start(0, 100 * kMiB, GroupLimits::kIgnore);
  Span* span = Large(90);
  EXPECT_EQ(TryLarge(20), nullptr);
  EXPECT_TRUE(limits_.Refuses(20 * kPagesPerMiB));
  EXPECT_FALSE(limits_.MakeRoom(20 * kPagesPerMiB, nullptr));
  EXPECT_FALSE(limits_.Refuses(kPagesPerMiB));
  EXPECT_NE(TryLarge(1), nullptr);
  Free(span);
  EXPECT_NE(TryLarge(90), nullptr);
}

TEST_F(MemoryLimitsTest, NothingGoesBackForWhatTheHardLimitWouldNeverAllow) {
  limits_.Start(0, 100 * kMiB, GroupLimits::kIgnore);
  MakeDirty(48);
  for (size_t mib : {100u, 101u, 5000u}) {
    EXPECT_TRUE(limits_.Refuses(mib * kPagesPerMiB));
    EXPECT_FALSE(limits_.MakeRoom(mib * kPagesPerMiB, nullptr));
  }
  EXPECT_EQ(DirtyMiB(), 48u);
  EXPECT_EQ(Stats().passes, 0u);
}

TEST_F(MemoryLimitsTest, TheHardLimitHoldsForSmallObjects) {
  limits_.Start(0, 50 * kMiB, GroupLimits::kIgnore);
  std::vector<void*> objects;
  void* object = nullptr;
  while (on_.central.Remove(kClass, &object, 1) == 1) objects.push_back(object);
  EXPECT_GE(objects.size() * kSizeClassTable[kClass].size, 45 * kMiB);
  EXPECT_LE(HeldMiB(), 50u);
  for (void*& one : objects) on_.central.Insert(kClass, &one, 1);
}

TEST_F(MemoryLimitsTest, FreePagesOfOneKindMakeRoomForAnotherWithoutAPass) {
  limits_.Start(0, 100 * kMiB, GroupLimits::kIgnore);
  MakeDirty(96);
  Large(40);
  Large(40);
  EXPECT_LE(HeldMiB(), 100u);
  EXPECT_EQ(Stats().passes, 0u);
}

TEST_F(MemoryLimitsTest, AllStagesAreTriedBeforeItRefuses) {
  PinToCpu pin(0);
  ThreadState* state = on_.registry.Create();
  limits_.Start(0, 100 * kMiB, GroupLimits::kIgnore);
  std::vector<void*> objects = Objects(kClass, 90);
  // One object of each span stays.
  for (size_t i = 0; i < objects.size(); ++i) {
    if (i % ShapeOf(kClass).objects != 0) on_.Free(state, kClass, objects[i]);
  }
  EXPECT_EQ(TryLarge(30), nullptr);
  EXPECT_TRUE(limits_.MakeRoom(30 * kPagesPerMiB, state));
  EXPECT_NE(TryLarge(30), nullptr);
  EXPECT_GT(Stats().spans.bytes, 15 * kMiB);
  EXPECT_EQ(Stats().thread_caches.runs, 1u);
  on_.registry.Destroy(state);
}

// A huge page that goes back whole may have held little.
TEST_F(MemoryLimitsTest, ItRefusesByWhatIsHeldAndNotByWhatWentBack) {
  PinToCpu pin(0);
  ThreadState* state = on_.registry.Create();
  limits_.Start(0, 100 * kMiB, GroupLimits::kIgnore);
  std::vector<void*> objects = Objects(kClass, 90);
  void* alone = nullptr;  // in a huge page of its own
  ASSERT_EQ(on_.central.Remove(kOtherClass, &alone, 1), 1u);
  for (size_t i = 0; i < objects.size(); ++i) {
    if (i % ShapeOf(kClass).objects != 0) on_.Free(state, kClass, objects[i]);
  }
  on_.Free(state, kOtherClass, alone);
  EXPECT_TRUE(limits_.MakeRoom(30 * kPagesPerMiB, state));
  on_.registry.Destroy(state);
}

TEST_F(MemoryLimitsTest, BuffersGrowInPlaceOnlyUpToIt) {
  limits_.Start(0, 100 * kMiB, GroupLimits::kIgnore);
  Span* span = Large(8);
  size_t mib = 8;
  while (on_.page_heap.GrowLarge(span, (mib + 1) * kPagesPerMiB, nullptr)) ++mib;
  EXPECT_GE(mib, 97u);
  EXPECT_LE(HeldMiB(), 100u);
  Span* cut = on_.page_heap.AllocateLarge(10, 1);
  ASSERT_NE(cut, nullptr);
  on_.page_heap.GrowLarge(cut, 20, this);
  while (on_.page_heap.AllocateGrowing(10, this) != nullptr) {
  }
  EXPECT_LE(HeldMiB(), 100u);
}

TEST_F(MemoryLimitsTest, AHardLimitCanBeSetBelowWhatIsHeldAndLifted) {
  limits_.Start(0, 0, GroupLimits::kIgnore);
  Large(90);
  MakeDirty(64);
  limits_.SetHard(80 * kMiB);
  EXPECT_EQ(TryLarge(1), nullptr);
  limits_.SetHard(0);
  EXPECT_NE(TryLarge(200), nullptr);
}

// ---- control groups ----

TEST_F(MemoryLimitsTest, ASmallHeapDoesNotAskForGroups) {
  WriteGroup(64, 10);
  limits_.Start(0, 0, GroupLimits::kReclaim);
  MakeDirty(8);
  on_.clock.Advance(100'000);
  Pass();
  EXPECT_EQ(on_.files.reads, 0);
  Large(20);
  Pass();
  EXPECT_GT(on_.files.reads, 0);
  EXPECT_EQ(Stats().group_max, 64 * kMiB);
  EXPECT_EQ(Stats().group_usage, 10 * kMiB);
  EXPECT_EQ(Stats().readings, 1u);
}

TEST_F(MemoryLimitsTest, FarFromTheGroupsLimitItIsReadSeldom) {
  WriteGroup(4096, 100);
  limits_.Start(0, 0, GroupLimits::kReclaim);
  Large(20);
  for (int i = 0; i < 6'000; ++i) {
    Pass();
    on_.clock.Advance(10);
  }
  EXPECT_GE(Stats().readings, 6u);
  EXPECT_LE(Stats().readings, 8u);
  EXPECT_EQ(Stats().passes, 0u);
}

TEST_F(MemoryLimitsTest, WithoutALimitItIsReadOnceAMinuteAndWithoutFilesNeverAgain) {
  on_.files.files["/proc/self/cgroup"] = "0::/\n";
  on_.files.files["/sys/fs/cgroup/memory.max"] = "max\n";
  limits_.Start(0, 0, GroupLimits::kReclaim);
  Large(20);
  Pass();
  EXPECT_EQ(Stats().readings, 1u);
  Large(200);
  Pass();
  EXPECT_EQ(Stats().readings, 1u);
  on_.clock.Advance(60'000);
  on_.files.files.clear();
  Pass();
  EXPECT_EQ(Stats().readings, 2u);
  on_.clock.Advance(1'000'000);
  Pass();
  EXPECT_EQ(Stats().readings, 2u);
}

TEST_F(MemoryLimitsTest, CloseToTheGroupsLimitFreePagesGoBack) {
  WriteGroup(512, 100);
  limits_.Start(0, 0, GroupLimits::kReclaim);
  Large(20);
  Pass();
  // Halfway to the margin it is read again.
  MakeDirty(160);
  EXPECT_FALSE(limits_.Due(on_.clock.NowMs()));
  MakeDirty(240);
  EXPECT_TRUE(limits_.Due(on_.clock.NowMs()));
  WriteGroup(512, 490);
  const size_t held = HeldMiB();
  Pass();
  EXPECT_EQ(Stats().passes, 1u);
  EXPECT_EQ(HeldMiB(), held - 10) << "the margin is 32 MiB, 22 are left";
}

TEST_F(MemoryLimitsTest, VeryCloseToItGrowthIsAnsweredAtOnce) {
  WriteGroup(512, 505);
  limits_.Start(0, 0, GroupLimits::kReclaim);
  for (int i = 0; i < 20; ++i) {
    MakeDirty(32);
    Pass();
  }
  EXPECT_GE(Stats().passes, 2u);
  EXPECT_LE(DirtyMiB(), 48u);
}

// A pass found nothing to give back; then the program frees much and grows elsewhere. There is no
// room left for which to wait.
TEST_F(MemoryLimitsTest, WithNoRoomLeftTheNextGrowthIsAnsweredIfSomethingIsFree) {
  WriteGroup(128, 127);
  limits_.Start(0, 0, GroupLimits::kReclaim);
  std::vector<Span*> spans;
  for (int i = 0; i < 14; ++i) spans.push_back(Large(8));
  Pass();
  ASSERT_EQ(Stats().fruitless, 1u);
  for (int i = 0; i < 10; ++i) Free(spans[static_cast<size_t>(i)]);
  EXPECT_FALSE(limits_.Due(on_.clock.NowMs()));
  on_.page_heap.AllocateShared(kClass, InPageMap::kYes);
  EXPECT_TRUE(limits_.Due(on_.clock.NowMs()));
  Pass();
  EXPECT_EQ(Stats().passes, 2u);
  EXPECT_GE(Stats().pages.bytes, 7 * kMiB);
}

TEST_F(MemoryLimitsTest, WithNoRoomLeftAndNothingFreeFewPassesLookInVain) {
  WriteGroup(128, 127);
  limits_.Start(0, 0, GroupLimits::kReclaim);
  Large(112);
  for (int i = 0; i < 64; ++i) {
    on_.page_heap.AllocateLarge(kPagesPerMiB / 16, 1);
    Pass();
  }
  EXPECT_LE(Stats().passes, 6u);
}

TEST_F(MemoryLimitsTest, MemoryHighCountsAsWell) {
  WriteGroup(4096, 250, "268435456");
  limits_.Start(0, 0, GroupLimits::kReclaim);
  MakeDirty(64);
  Pass();
  EXPECT_EQ(Stats().group_high, 256 * kMiB);
  EXPECT_GE(Stats().pages.bytes, 10 * kMiB);
}

TEST_F(MemoryLimitsTest, PressureTakesFreePagesOnly) {
  WriteGroup(4096, 100);
  on_.files.files["/sys/fs/cgroup/one/memory.pressure"] = "some avg10=25.00 avg60=0.00\n";
  ThreadState* state = on_.registry.Create();
  limits_.Start(0, 0, GroupLimits::kReclaim);
  MakeDirty(32);
  Pass(state);
  EXPECT_EQ(Stats().group_pressure, 2500u);
  EXPECT_EQ(Stats().passes, 1u);
  EXPECT_EQ(Stats().thread_caches.runs, 0u);
  EXPECT_EQ(DirtyMiB(), 0u);
  on_.registry.Destroy(state);
}

TEST_F(MemoryLimitsTest, AGroupsMaximumRefusesNothingUnlessItIsToldTo) {
  WriteGroup(128, 100);
  limits_.Start(0, 0, GroupLimits::kReclaim);
  Large(20);
  Pass();
  EXPECT_NE(TryLarge(40), nullptr);
}

TEST_F(MemoryLimitsTest, AGroupsMaximumCanRefuse) {
  WriteGroup(128, 100);
  limits_.Start(0, 0, GroupLimits::kRefuse);
  Large(20);
  Pass();
  EXPECT_EQ(TryLarge(40), nullptr);
  EXPECT_FALSE(limits_.MakeRoom(40 * kPagesPerMiB, nullptr));
  // The others in the group have left.
  WriteGroup(128, 80);
  EXPECT_TRUE(limits_.MakeRoom(40 * kPagesPerMiB, nullptr));
}

// Threads that allocate and free, meet the limits, and change them.
TEST_F(MemoryLimitsTest, BesideOthers) {
  WriteGroup(512, 500);
  limits_.Start(64 * kMiB, 96 * kMiB, GroupLimits::kReclaim);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([this, t] {
      ThreadState* state = on_.registry.Create();
      for (int round = 0; round < 60; ++round) {
        std::vector<void*> objects;
        std::vector<Span*> spans;
        for (int i = 0; i < 200; ++i) {
          if (void* object = on_.Allocate(state, kClass + t)) objects.push_back(object);
        }
        for (int i = 0; i < 5; ++i) {
          if (Span* span = TryLarge(8)) spans.push_back(span);
          if (!limits_.MakeRoom(8 * kPagesPerMiB, state)) limits_.NoteRefusal();
        }
        on_.clock.Advance(20);
        Pass(state);
        if (round % 20 == 0) limits_.SetSoft((40 + static_cast<size_t>(round)) * kMiB);
        for (void* object : objects) on_.Free(state, kClass + t, object);
        for (Span* span : spans) Free(span);
        Stats();
      }
      on_.registry.Destroy(state);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(Stats().passes, 0u);
  EXPECT_LE(HeldMiB(), 96u);
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// The background thread's life, with the test in the place of the thread: when it is wanted, what
// it gives back and when, how long it sleeps, and that it ends.
#include "allocator/cache/background_thread.h"

#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr uint64_t kInterval = BackgroundThread::kIntervalMs;
constexpr uint64_t kForever = BackgroundThread::kForever;
constexpr size_t kPeakBytes = size_t{64} << 20;

class BackgroundThreadTest : public testing::Test {
 protected:
  BackgroundThreadTest() { thread_.SetEnabled(true); }
  ~BackgroundThreadTest() {
    EXPECT_TRUE(on_.central.CheckInvariants());
    EXPECT_TRUE(on_.page_heap.CheckInvariants());
  }

  void MakeThreads(int count) {
    for (int i = 0; i < count; ++i) states_.push_back(on_.registry.Create());
  }
  void EndThread() {
    on_.registry.Destroy(states_.back());
    states_.pop_back();
    thread_.NoteThreadEnded();
  }
  // Blocks of 1 MiB, which the page heap serves.
  void AllocatePeak() {
    for (size_t i = 0; i < kPeakBytes >> 20; ++i) {
      blocks_.push_back(on_.page_heap.AllocateLarge((size_t{1} << 20) >> kPageShift, 1));
      ASSERT_NE(blocks_.back(), nullptr);
    }
  }
  void FreePeak() {
    for (Span* span : blocks_) {
      ASSERT_EQ(on_.page_heap.FreeLarge(reinterpret_cast<void*>(span->start)), LargeFault::kNone);
    }
    blocks_.clear();
  }
  // As a slow path does in passing.
  void PassSlowPath() {
    on_.page_heap.ReleaseExcess(on_.clock.NowMs());
    thread_.NoteActivity();
  }
  void StartWithPeak() {
    MakeThreads(2);
    AllocatePeak();
    PassSlowPath();
    ASSERT_TRUE(thread_.wanted());
    ASSERT_TRUE(thread_.Claim());
  }
  // One waking of the thread, and its sleep.
  uint64_t StepAndSleep() {
    uint64_t ms = 0;
    EXPECT_TRUE(thread_.Step(&ms));
    if (ms != kForever) on_.clock.Advance(ms);
    return ms;
  }
  size_t DirtyPages() { return on_.page_heap.Stats().dirty_pages; }

  CachesOnFakes on_;
  BackgroundThread thread_{on_.node_heaps, on_.central, on_.registry, on_.limits, on_.clock};
  std::vector<ThreadState*> states_;
  std::vector<Span*> blocks_;
};

TEST_F(BackgroundThreadTest, GoesOnWithAPassThroughTheSpansOfAProgramThatRuns) {
  // More spans than one call searches, partly used; the array of the list takes some objects more.
  const SizeClass c = SizeClassOf(4096);
  const size_t per_span = ShapeOf(c).objects;
  std::vector<void*> objects(1000 * per_span);
  for (void*& object : objects) ASSERT_EQ(on_.central.Remove(c, &object, 1), 1u);
  for (size_t i = 0; i < objects.size(); ++i) {
    if (i % per_span != 0) on_.central.Insert(c, &objects[i], 1);
  }
  StartWithPeak();
  StepAndSleep();
  // What is idle for two ticks and a period.
  for (int tick = 0; tick < 2; ++tick) on_.central.ReturnIdle();
  on_.central.ReleaseIdleSincePeriod();
  while (on_.central.InPass()) on_.central.ReleaseIdleSincePeriod();
  const size_t before = on_.central.Stats(c).released_parts;
  EXPECT_FALSE(on_.central.ReleaseIdleSincePeriod());
  ASSERT_TRUE(on_.central.InPass());
  thread_.NoteActivity();
  StepAndSleep();
  EXPECT_FALSE(on_.central.InPass());
  EXPECT_GT(on_.central.Stats(c).released_parts, before + 1000);
}

TEST_F(BackgroundThreadTest, OneThreadDoesNotWantIt) {
  MakeThreads(1);
  AllocatePeak();
  PassSlowPath();
  EXPECT_FALSE(thread_.wanted());
  EXPECT_FALSE(thread_.Claim());
  MakeThreads(1);
  PassSlowPath();
  EXPECT_TRUE(thread_.wanted());
}

TEST_F(BackgroundThreadTest, OneThreadWantsItIfTheProgramAskedForIt) {
  MakeThreads(1);
  AllocatePeak();
  PassSlowPath();
  thread_.Request(true);
  EXPECT_TRUE(thread_.wanted());
  thread_.Request(false);
  EXPECT_FALSE(thread_.wanted());
  EXPECT_FALSE(thread_.enabled());
  thread_.Request(true);
  thread_.ResetAfterFork();
  EXPECT_FALSE(thread_.wanted()) << "a child that was forked to save";
  EXPECT_TRUE(thread_.enabled());
}

TEST_F(BackgroundThreadTest, ASmallHeapDoesNotWantIt) {
  MakeThreads(2);
  ASSERT_NE(on_.page_heap.AllocateLarge(ReleasePolicy::kFloorPages, 1), nullptr);
  PassSlowPath();
  EXPECT_FALSE(thread_.wanted());
  // The heap notes what it has when it is asked for more.
  ASSERT_NE(on_.page_heap.AllocateLarge(1, 1), nullptr);
  ASSERT_NE(on_.page_heap.AllocateLarge(1, 1), nullptr);
  EXPECT_TRUE(thread_.wanted());
}

TEST_F(BackgroundThreadTest, OnlyOneIsStarted) {
  StartWithPeak();
  EXPECT_FALSE(thread_.wanted());
  PassSlowPath();
  EXPECT_FALSE(thread_.wanted());
  EXPECT_FALSE(thread_.Claim());
  EXPECT_EQ(thread_.Stats().threads, 1u);
}

TEST_F(BackgroundThreadTest, WhatLiesInsideSpansGoesAfterHalfTheDecayOfQuiet) {
  StartWithPeak();
  FreePeak();
  // Of each span of this class one object stays.
  constexpr SizeClass kClass = 32;
  std::vector<void*> objects(2000);
  for (void*& object : objects) ASSERT_EQ(on_.central.Remove(kClass, &object, 1), 1u);
  for (size_t i = 0; i < objects.size(); ++i) {
    if (i % ShapeOf(kClass).objects != 0) on_.central.Insert(kClass, &objects[i], 1);
  }
  PassSlowPath();
  const uint64_t freed_ms = on_.clock.NowMs();
  StepAndSleep();
  const auto released = [this] { return on_.central.Stats(kClass).released_parts; };
  while (on_.clock.NowMs() < freed_ms + 900) {
    StepAndSleep();
    EXPECT_EQ(released(), 0u) << on_.clock.NowMs() - freed_ms;
  }
  while (StepAndSleep() != kForever) ASSERT_LT(on_.clock.NowMs(), freed_ms + 2000);
  EXPECT_GT(released(), objects.size() / ShapeOf(kClass).objects);
}

TEST_F(BackgroundThreadTest, GivesAPeakBackWithinTheDecay) {
  StartWithPeak();
  EXPECT_LE(StepAndSleep(), kInterval + 100);
  FreePeak();
  const uint64_t freed_ms = on_.clock.NowMs();
  PassSlowPath();
  const size_t dirty = DirtyPages();
  ASSERT_GT(dirty, 4 * ReleasePolicy::kFloorPages);
  // Nobody passes from here on.
  uint64_t now_ms = freed_ms;
  while (DirtyPages() == dirty) {
    now_ms = on_.clock.NowMs();
    ASSERT_LE(now_ms, freed_ms + 2100);
    StepAndSleep();
  }
  EXPECT_GE(now_ms, freed_ms + 1000);
  EXPECT_LE(DirtyPages(), ReleasePolicy::kFloorPages);
}

TEST_F(BackgroundThreadTest, GivesAllBackAfterHalfTheDecayOfQuietAndSleepsForEver) {
  StartWithPeak();
  FreePeak();
  const uint64_t freed_ms = on_.clock.NowMs();
  int steps = 0;
  for (; StepAndSleep() != kForever; ++steps) {
    ASSERT_LT(steps, 20);
    EXPECT_GT(DirtyPages(), 0u);
  }
  EXPECT_EQ(DirtyPages(), 0u);
  EXPECT_GE(on_.clock.NowMs(), freed_ms + 1000);
  EXPECT_LT(on_.clock.NowMs(), freed_ms + 1700);
  EXPECT_EQ(thread_.Stats().runs, static_cast<uint64_t>(steps) + 1);
}

TEST_F(BackgroundThreadTest, LooksAfterIdleCachesBeforeItSleepsForEver) {
  thread_.idle_caches().SetWanted(true);
  thread_.idle_caches().Begin();
  StartWithPeak();
  FreePeak();
  on_.page_heap.SetDecay(0);
  const uint64_t quiet_ms = on_.clock.NowMs();
  int steps = 0;
  while (StepAndSleep() != kForever) ASSERT_LT(++steps, 20);
  EXPECT_GE(on_.clock.NowMs(), quiet_ms + IdleCaches::kLookMs);
  EXPECT_EQ(DirtyPages(), 0u);
}

TEST_F(BackgroundThreadTest, KeepsAllIfItIsToldTo) {
  StartWithPeak();
  FreePeak();
  on_.page_heap.SetDecay(-1);
  const size_t dirty = DirtyPages();
  int steps = 0;
  while (StepAndSleep() != kForever) ASSERT_LT(++steps, 20);
  EXPECT_EQ(DirtyPages(), dirty);
}

TEST_F(BackgroundThreadTest, LooksAfterASoftLimitWhatEverIsKept) {
  StartWithPeak();
  FreePeak();
  on_.page_heap.SetDecay(-1);
  PassSlowPath();
  on_.limits.Start(kPeakBytes / 2, 0, GroupLimits::kIgnore);
  MakeThreads(1);
  AllocatePeak();
  FreePeak();
  const size_t dirty = DirtyPages();
  ASSERT_GT(dirty * kPageSize, kPeakBytes / 2);
  for (int i = 0; i < 10; ++i) EXPECT_NE(StepAndSleep(), kForever);
  EXPECT_LE(DirtyPages() * kPageSize, kPeakBytes / 2);
}

TEST_F(BackgroundThreadTest, ReturnsWhatLiesInTheCentralLists) {
  StartWithPeak();
  constexpr size_t kClass = 32;  // 1 KiB
  std::vector<void*> objects;
  for (int i = 0; i < 64; ++i) objects.push_back(on_.Allocate(states_[0], kClass));
  on_.central.Insert(kClass, objects.data(), objects.size());
  EXPECT_GT(on_.central.Stats(kClass).array_objects, 0u);
  for (int i = 0; i < 3; ++i) StepAndSleep();
  EXPECT_EQ(on_.central.Stats(kClass).array_objects, 0u);
}

TEST_F(BackgroundThreadTest, DoesNothingWhileSlowPathsPass) {
  StartWithPeak();
  StepAndSleep();
  FreePeak();
  on_.page_heap.SetDecay(0);  // everything is due
  for (int i = 0; i < 20; ++i) {
    thread_.NoteActivity();
    EXPECT_LE(StepAndSleep(), kInterval + 100);
    EXPECT_GT(DirtyPages(), 0u);
  }
  StepAndSleep();
  EXPECT_EQ(DirtyPages(), 0u);
}

TEST_F(BackgroundThreadTest, WakesFromItsSleep) {
  StartWithPeak();
  FreePeak();
  for (int i = 0; i < 2; ++i) {
    while (StepAndSleep() != kForever) {
    }
    PassSlowPath();
    thread_.Sleep(kForever);  // returns, since it was woken
    EXPECT_LE(StepAndSleep(), kInterval + 100);
  }
}

TEST_F(BackgroundThreadTest, WhatTheKernelRefusesToTakeDoesNotKeepItAwake) {
  StartWithPeak();
  FreePeak();
  on_.memory.RefuseAll(FakeVirtualMemory::kRelease);
  int steps = 1;
  while (StepAndSleep() != kForever) ASSERT_LT(++steps, 25);
  on_.memory.RefuseNothing();
}

TEST_F(BackgroundThreadTest, EndsWhenDisabledAndIsWantedAgainWhenEnabled) {
  StartWithPeak();
  thread_.SetEnabled(false);
  thread_.Sleep(kForever);  // returns
  uint64_t ms = 0;
  EXPECT_FALSE(thread_.Step(&ms));
  EXPECT_EQ(thread_.Stats().threads, 0u);
  PassSlowPath();
  EXPECT_FALSE(thread_.wanted());
  thread_.SetEnabled(true);
  EXPECT_TRUE(thread_.enabled());
  PassSlowPath();
  EXPECT_TRUE(thread_.Claim());
  EXPECT_LE(StepAndSleep(), kInterval + 100);
}

TEST_F(BackgroundThreadTest, EndsWithTheLastThread) {
  StartWithPeak();
  EndThread();
  StepAndSleep();
  EndThread();
  thread_.Sleep(kForever);  // returns
  uint64_t ms = 0;
  EXPECT_FALSE(thread_.Step(&ms));
}

TEST_F(BackgroundThreadTest, ARefusedOneIsNotTriedAgain) {
  StartWithPeak();
  thread_.NoteRefused();
  EXPECT_EQ(thread_.Stats().threads, 0u);
  PassSlowPath();
  EXPECT_FALSE(thread_.wanted());
  thread_.SetEnabled(true);
  PassSlowPath();
  EXPECT_TRUE(thread_.wanted());
}

TEST_F(BackgroundThreadTest, AForkedChildHasNoneAndMayHaveOne) {
  StartWithPeak();
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    thread_.ResetAfterFork();
    PassSlowPath();
    const bool good = thread_.Stats().threads == 0 && thread_.wanted() && thread_.Claim();
    _exit(good ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(BackgroundThreadTest, CountsItsRunsAndItsSleep) {
  StartWithPeak();
  EXPECT_EQ(thread_.Stats().runs, 0u);
  EXPECT_EQ(thread_.Stats().interval_ns, 0u);
  uint64_t slept_ms = 0;
  for (int i = 0; i < 3; ++i) slept_ms += StepAndSleep();
  uint64_t ms = 0;
  EXPECT_TRUE(thread_.Step(&ms));
  EXPECT_EQ(thread_.Stats().runs, 4u);
  EXPECT_EQ(thread_.Stats().interval_ns, slept_ms * 1000000 / 4);
}

// A real thread beside others that allocate, free, and go away.
TEST_F(BackgroundThreadTest, RunsBesideOthers) {
  StartWithPeak();
  std::thread background([this] {
    uint64_t ms = 0;
    while (thread_.Step(&ms)) {
      on_.clock.Advance(60);
      thread_.Sleep(ms == kForever ? kForever : 0);
    }
  });
  std::vector<std::thread> threads;
  for (ThreadState* state : states_) {
    threads.emplace_back([this, state] {
      for (int round = 0; round < 200; ++round) {
        std::vector<void*> objects;
        for (int i = 0; i < 50; ++i) objects.push_back(on_.Allocate(state, 32));
        for (void* object : objects) on_.Free(state, 32, object);
        PassSlowPath();
      }
      on_.registry.Destroy(state);
      thread_.NoteThreadEnded();
    });
  }
  for (std::thread& thread : threads) thread.join();
  background.join();
  EXPECT_EQ(thread_.Stats().threads, 0u);
}

}  // namespace
}  // namespace spanmalloc

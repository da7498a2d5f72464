// SPDX-License-Identifier: Apache-2.0
//
// All classes and CPUs together: no object is lost or handed out twice, and the counts agree with
// what is outside.
#include "allocator/central/per_cpu_central.h"

#include <cstdint>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"
#include "tests/support/pin_to_cpu.h"

namespace spanmalloc {
namespace {

constexpr SizeClass kClass = 8;

class PerCpuCentralTest : public testing::Test {
 protected:
  ~PerCpuCentralTest() {
    EXPECT_TRUE(central_.CheckInvariants());
    EXPECT_TRUE(on_.page_heap.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  void Insert(SizeClass c, std::vector<void*> objects) {
    central_.Insert(c, objects.data(), objects.size());
  }
  void ExpectLive(SizeClass c, size_t live) {
    const CentralFreeListStats stats = central_.Stats(c);
    EXPECT_EQ(stats.taken - stats.returned, live);
    EXPECT_EQ(stats.spans * ShapeOf(c).objects, live + stats.array_objects + stats.span_objects);
  }

  CentralOnFakes on_;
  PerCpuCentral& central_ = on_.central;
};

TEST_F(PerCpuCentralTest, EveryClassGivesEachObjectOnceAndTakesItBack) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const auto size_class = static_cast<SizeClass>(c);
    const size_t count = 2 * ShapeOf(c).objects + 3;
    const std::vector<void*> objects = on_.Take(size_class, count);
    ASSERT_EQ(std::set<void*>(objects.begin(), objects.end()).size(), count);
    ExpectLive(size_class, count);
    Insert(size_class, objects);
    ExpectLive(size_class, 0);
  }
  central_.Drain();
  EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u) << "spans left after all objects came back";
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    EXPECT_EQ(central_.Stats(static_cast<SizeClass>(c)).spans, 0u);
  }
}

TEST_F(PerCpuCentralTest, AListTakesMemoryWhenItsClassIsFirstUsed) {
  const auto count_lists = [this] {
    size_t count = 0;
    central_.ForEachList([&count](CentralFreeList&) { ++count; });
    return count;
  };
  PinToCpu pin(0);
  EXPECT_EQ(count_lists(), 0u);
  const std::vector<void*> objects = on_.Take(kClass, 3);
  EXPECT_EQ(count_lists(), 1u);
  const std::vector<void*> others = on_.Take(kClass + 1, 3);
  EXPECT_EQ(count_lists(), 2u);
  EXPECT_EQ(central_.Stats(kClass + 2).taken, 0u);
  Insert(kClass, objects);
  Insert(kClass + 1, others);
  EXPECT_EQ(count_lists(), 2u);
}

TEST_F(PerCpuCentralTest, WhatGrowthPaysForTakesLocksOnlyWhereObjectsWereIdle) {
  const auto locks_taken = [this](SizeClass c) {
    uint64_t taken = 0;
    central_.ForEachListOf(
        c, [&taken](CentralFreeList& list) { taken += list.lock().acquisitions().all; });
    return taken;
  };
  const auto released = [this] { return central_.Stats(kClass).released_parts; };
  PinToCpu pin(0);
  constexpr SizeClass kBusy = kClass + 1;
  const size_t count = 40 * ShapeOf(kClass).objects;
  const std::vector<void*> objects = on_.Take(kClass, count);
  // A few are free there, too.
  const std::vector<void*> busy = on_.Take(kBusy, 2 * ShapeOf(kBusy).objects - 3);
  for (size_t i = 0; i < count; ++i) {
    if (i % ShapeOf(kClass).objects != 0) central_.InsertInSpans(kClass, &objects[i], 1);
  }
  for (int i = 0; i < 2; ++i) central_.TickSpans();
  const uint64_t before = locks_taken(kBusy);
  central_.ReleaseIdleSinceTick(1);
  const size_t first = released();
  EXPECT_GT(first, 0u);
  central_.ReleaseIdleSinceTick(~size_t{0});
  EXPECT_GT(released(), first) << "the first search wasn't brought to its end";
  EXPECT_EQ(locks_taken(kBusy), before);
  const uint64_t searched = locks_taken(kClass);
  central_.ReleaseIdleSinceTick(~size_t{0});
  EXPECT_EQ(locks_taken(kClass), searched) << "the second was";
}

TEST_F(PerCpuCentralTest, MoreThanABatchIsInsertedWhole) {
  const size_t count = 3000;
  const std::vector<void*> objects = on_.Take(kClass, count);
  ASSERT_GT(count, kSizeClassTable[kClass].central_limit + 2 * PerCpuCentral::kMaxBatch);
  Insert(kClass, objects);
  ExpectLive(kClass, 0);
}

TEST_F(PerCpuCentralTest, InsertInSpansPassesTheArrayBy) {
  std::vector<void*> objects = on_.Take(kClass, PerCpuCentral::kMaxBatch);
  central_.InsertInSpans(kClass, objects.data(), objects.size());
  EXPECT_EQ(central_.Stats(kClass).array_objects, 0u);
  ExpectLive(kClass, 0);
}

TEST_F(PerCpuCentralTest, ZeroedObjectsReadZero) {
  for (int round = 0; round < 3; ++round) {
    void* out[16];
    bool zeroed = false;
    size_t fresh = 0;
    std::vector<void*> all;
    for (int i = 0; i < 100; ++i) {
      const size_t got = central_.Remove(20, out, 16, &zeroed);
      for (size_t n = 0; n < got; ++n) {
        auto* bytes = static_cast<unsigned char*>(out[n]);
        for (size_t b = 0; zeroed && b < kSizeClassTable[20].size; ++b) ASSERT_EQ(bytes[b], 0);
        bytes[0] = bytes[kSizeClassTable[20].size - 1] = 0xee;
        fresh += zeroed;
        all.push_back(out[n]);
      }
    }
    if (round == 0) EXPECT_GT(fresh, 0u) << "fresh memory is never called zero";
    Insert(20, all);
    central_.Drain();
  }
}

TEST_F(PerCpuCentralTest, ReturnIdleGivesBackWhatLayStill) {
  PinToCpu pin(0);
  const size_t held = kSizeClassTable[kClass].central_limit;
  Insert(kClass, on_.Take(kClass, held));
  central_.ReturnIdle();
  EXPECT_EQ(central_.Stats(kClass).array_objects, held) << "it was put there just now";
  std::vector<void*> some = on_.Take(kClass, 5);
  Insert(kClass, some);
  central_.ReturnIdle();
  EXPECT_EQ(central_.Stats(kClass).array_objects, 5u);
  ExpectLive(kClass, 0);
}

TEST_F(PerCpuCentralTest, ACpuTakesWhatAnotherHasToSpare) {
  {
    PinToCpu pin(0);
    Insert(kClass, on_.Take(kClass, kSizeClassTable[kClass].central_limit));
  }
  PinToCpu pin(1);
  if (!pin.pinned()) GTEST_SKIP() << "one CPU only";
  const uint64_t made = central_.Stats(kClass).spans_made;
  const std::vector<void*> objects = on_.Take(kClass, 8);
  EXPECT_EQ(objects.size(), 8u);
  EXPECT_EQ(central_.Stats(kClass).spans_made, made);
  ExpectLive(kClass, 8);
  Insert(kClass, objects);
}

TEST_F(PerCpuCentralTest, ACpuThatHadNothingToSpareIsLookedAtAgainWhenItHas) {
  const size_t in_span = ShapeOf(kClass).objects;
  std::vector<void*> objects;
  {
    PinToCpu pin(0);
    Insert(kClass, on_.Take(kClass, 4 * in_span));
    objects = on_.Take(kClass, 4 * in_span);
  }
  std::vector<void*> own;
  {
    PinToCpu pin(1);
    if (!pin.pinned()) GTEST_SKIP() << "one CPU only";
    own = on_.Take(kClass, in_span);  // looks in vain first
  }
  {
    PinToCpu pin(0);
    Insert(kClass, objects);
  }
  PinToCpu pin(1);
  const uint64_t made = central_.Stats(kClass).spans_made;
  objects = on_.Take(kClass, 8);
  EXPECT_EQ(central_.Stats(kClass).spans_made, made);
  Insert(kClass, own);
  Insert(kClass, objects);
}

TEST_F(PerCpuCentralTest, CpusBeyondTheLimitShareShards) {
  central_.LimitShards(0);
  std::vector<void*> objects;
  {
    PinToCpu pin(0);
    objects = on_.Take(kClass, 3);
    Insert(kClass, objects);
  }
  PinToCpu pin(1);
  if (!pin.pinned()) GTEST_SKIP() << "one CPU only";
  EXPECT_EQ(on_.Take(kClass, 3), objects) << "no other CPU would give so few away";
  EXPECT_EQ(central_.CountShards(), 1u);
  Insert(kClass, objects);
}

TEST_F(PerCpuCentralTest, AShardPastANewLimitIsEmptiedAsAnyIdleOne) {
  for (int cpu : {0, 1}) {
    PinToCpu pin(cpu);
    if (!pin.pinned()) GTEST_SKIP() << "one CPU only";
    Insert(kClass, on_.Take(kClass, 100));
  }
  ASSERT_EQ(central_.CountShards(), 2u);
  central_.LimitShards(1);
  const std::vector<void*> all = on_.Take(kClass, 200);
  Insert(kClass, all);
  central_.ReturnIdle();
  central_.ReturnIdle();
  EXPECT_EQ(central_.Stats(kClass).array_objects, 0u);
  ExpectLive(kClass, 0);
}

TEST_F(PerCpuCentralTest, ObjectsReturnToTheSpansOfTheCpuTheyCameFrom) {
  std::vector<void*> objects;
  {
    PinToCpu pin(0);
    objects = on_.Take(kClass, 50);
  }
  {
    PinToCpu pin(1);
    if (!pin.pinned()) GTEST_SKIP() << "one CPU only";
    for (void* object : objects) central_.InsertInSpans(kClass, &object, 1);
    EXPECT_TRUE(central_.CheckInvariants());
    ExpectLive(kClass, 0);
  }
  central_.Drain();
  EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u);
}

TEST_F(PerCpuCentralTest, OutOfMemoryIsZeroObjects) {
  on_.memory.RefuseAll(FakeVirtualMemory::kMapAt);
  on_.memory.RefuseAll(FakeVirtualMemory::kMap);
  const std::vector<void*> objects = on_.Take(kSizeClasses, 100000);
  EXPECT_LT(objects.size(), 100000u);
  ExpectLive(kSizeClasses, objects.size());
  on_.memory.RefuseNothing();
  EXPECT_EQ(on_.Take(kSizeClasses, 1).size(), 1u);
}

TEST_F(PerCpuCentralTest, NoMemoryForAShardIsZeroObjects) {
  // The metadata of a heap whose kernel gives nothing more.
  on_.memory.RefuseAll(FakeVirtualMemory::kMap);
  while (on_.metadata.Allocate(64) != nullptr) {
  }
  EXPECT_EQ(on_.Take(kClass, 1).size(), 0u);
  on_.memory.RefuseNothing();
  EXPECT_EQ(on_.Take(kClass, 1).size(), 1u);
}

// Threads that pass each other objects through the lists; each stamps what it holds.
TEST_F(PerCpuCentralTest, ThreadsNeverHoldTheSameObject) {
  std::vector<std::thread> threads;
  for (uintptr_t t = 1; t <= 4; ++t) {
    threads.emplace_back([this, t] {
      unsigned n = static_cast<unsigned>(t);
      for (int round = 0; round < 1500; ++round) {
        n = n * 1103515245 + 12345;
        const auto c = static_cast<SizeClass>(1 + (n >> 16) % 20);
        void* out[PerCpuCentral::kMaxBatch];
        const size_t got = central_.Remove(c, out, 1 + (n >> 20) % PerCpuCentral::kMaxBatch);
        ASSERT_NE(got, 0u);
        for (size_t i = 0; i < got; ++i) *static_cast<volatile uintptr_t*>(out[i]) = t;
        if (round % 64 == 0) central_.ReturnIdle();
        if (round % 16 == 0) central_.LimitShards(1 + n % 3);
        for (size_t i = 0; i < got; ++i) ASSERT_EQ(*static_cast<volatile uintptr_t*>(out[i]), t);
        if (n % 2 == 0) {
          central_.Insert(c, out, got);
        } else {
          central_.InsertInSpans(c, out, got);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // A class may have lent to another, so that they agree in sum.
  uint64_t live = 0;
  size_t objects = 0;
  for (SizeClass c = 1; c < kSizeClassEnd; ++c) {
    const CentralFreeListStats stats = central_.Stats(c);
    live += stats.taken - stats.returned;
    objects += stats.spans * ShapeOf(c).objects - stats.array_objects - stats.span_objects;
  }
  EXPECT_EQ(live, 0u);
  EXPECT_EQ(objects, 0u);
  central_.Drain();
  EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u);
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// A class that would make the heap larger than ever takes objects that a larger class has idle, and
// they find home whichever way they are freed.
#include <cstdint>
#include <vector>

#include "allocator/central/per_cpu_central.h"
#include "allocator/params/size_class_map.h"
#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"
#include "tests/support/pin_to_cpu.h"

namespace spanmalloc {
namespace {

const auto kLender = static_cast<SizeClass>(SizeClassOf(960));
const auto kBorrower = static_cast<SizeClass>(SizeClassOf(704));
const SpanShape& kLent = ShapeOf(kLender);

// What isn't lent: 64 KiB.
constexpr size_t kKeptBytes = 64 * 1024;

class BorrowingTest : public testing::Test {
 protected:
  ~BorrowingTest() {
    EXPECT_TRUE(central_.CheckInvariants());
    EXPECT_TRUE(on_.page_heap.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  void PutInSpans(SizeClass c, const std::vector<void*>& objects) {
    for (void* object : objects) central_.InsertInSpans(c, &object, 1);
  }
  // Leaves one object in use of each of so many spans of the lender's class.
  void MakeHoles(size_t spans = 40) {
    const std::vector<void*> objects = on_.Take(kLender, spans * kLent.objects);
    std::vector<void*> freed;
    for (size_t i = 0; i < objects.size(); ++i) {
      (i % kLent.objects == 0 ? kept_ : freed).push_back(objects[i]);
    }
    PutInSpans(kLender, freed);
    idle_ = freed.size();
  }
  void Tick(int ticks = 2) {
    for (int i = 0; i < ticks; ++i) central_.TickSpans();
  }
  SizeClass ClassAt(void* object) { return on_.page_map.SpanOf(object)->size_class; }
  // Takes an object of a class. Returns the class of the span it lies in.
  SizeClass TakenFrom(SizeClass c) {
    taken_.push_back(on_.Take(c, 1)[0]);
    return ClassAt(taken_.back());
  }
  size_t Live(SizeClass c) {
    const CentralFreeListStats stats = central_.Stats(c);
    return stats.taken - stats.returned;
  }

  PinToCpu pin_{0};
  CentralOnFakes on_;
  PerCpuCentral& central_ = on_.central;
  std::vector<void*> kept_;
  std::vector<void*> taken_;
  size_t idle_ = 0;
};

TEST_F(BorrowingTest, IdleObjectsAreTakenBeforeTheHeapGrows) {
  MakeHoles();
  Tick();
  const size_t pages = on_.page_heap.Stats().span_pages;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(TakenFrom(kBorrower), kLender);
  EXPECT_EQ(on_.page_heap.Stats().span_pages, pages);
  EXPECT_EQ(Live(kLender), kept_.size() + 100);
  EXPECT_EQ(Live(kBorrower), 0u);
}

TEST_F(BorrowingTest, NotBeforeTheyHaveBeenIdleForAWholeTick) {
  MakeHoles();
  EXPECT_EQ(TakenFrom(kBorrower), kBorrower);
  on_.Take(kBorrower, ShapeOf(kBorrower).objects - 1);
  Tick(1);
  EXPECT_EQ(TakenFrom(kBorrower), kBorrower);
}

TEST_F(BorrowingTest, NotBelowThePeak) {
  Span* peak = on_.page_heap.AllocateLarge(200, 1);
  MakeHoles();
  on_.page_heap.FreeLarge(reinterpret_cast<void*>(peak->start));
  on_.page_heap.Release(~size_t{0});
  Tick();
  EXPECT_EQ(TakenFrom(kBorrower), kBorrower);
}

TEST_F(BorrowingTest, AFewStayForTheLenderItself) {
  MakeHoles();
  Tick();
  size_t lent = 0;
  while (TakenFrom(kBorrower) == kLender) ++lent;
  EXPECT_LE(lent, idle_ - kKeptBytes / kLent.size);
  EXPECT_GE(lent + 2, idle_ - kKeptBytes / kLent.size);
}

TEST_F(BorrowingTest, NotTwiceAsLargeNorLessAligned) {
  MakeHoles();
  Tick();
  EXPECT_EQ(TakenFrom(static_cast<SizeClass>(SizeClassOf(480))), kLender);
  for (size_t size : {size_t{448}, size_t{512}, size_t{640}, size_t{1024}}) {
    const auto c = static_cast<SizeClass>(SizeClassOf(size));
    EXPECT_EQ(TakenFrom(c), c) << size;
  }
}

TEST_F(BorrowingTest, WhatTheKernelHasIsNotLent) {
  MakeHoles();
  Tick();
  central_.ReleaseAll();
  EXPECT_EQ(TakenFrom(kBorrower), kBorrower);
}

TEST_F(BorrowingTest, FreedAsWhatTheyAre) {
  MakeHoles();
  Tick();
  ASSERT_EQ(TakenFrom(kBorrower), kLender);
  PutInSpans(kLender, taken_);
  PutInSpans(kLender, kept_);
  EXPECT_EQ(Live(kLender), 0u);
  central_.Drain();
  EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u);
}

// As sized frees do.
TEST_F(BorrowingTest, FreedAsWhatWasAskedFor) {
  MakeHoles();
  Tick();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(TakenFrom(kBorrower), kLender);
  central_.Insert(kBorrower, taken_.data(), 10);
  EXPECT_EQ(on_.Take(kBorrower, 10).size(), 10u) << "out of the array";
  central_.Insert(kBorrower, taken_.data(), 10);
  PutInSpans(kBorrower, std::vector<void*>(taken_.begin() + 10, taken_.end()));
  central_.Drain();
  EXPECT_EQ(central_.Stats(kBorrower).flushes, 12u) << "each batch once";
  EXPECT_EQ(Live(kBorrower), 0u);
  EXPECT_EQ(Live(kLender), kept_.size());
  PutInSpans(kLender, kept_);
  central_.Drain();
  EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u);
}

TEST_F(BorrowingTest, ASecondFreeIsReported) {
  MakeHoles();
  Tick();
  ASSERT_EQ(TakenFrom(kBorrower), kLender);
  void* object = taken_.back();
  PutInSpans(kBorrower, {object, object});
  std::vector<BadPointer> faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kDoubleFree);
  EXPECT_EQ(faults[0].pointer, object);
}

TEST_F(BorrowingTest, AWrongSizeIsStillAMismatchWhereNothingWasLent) {
  MakeHoles();
  Tick();
  PutInSpans(kBorrower, {kept_[0]});
  std::vector<BadPointer> faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kSizeMismatch);
  ASSERT_EQ(TakenFrom(kBorrower), kLender);
  const auto small = static_cast<SizeClass>(SizeClassOf(256));
  PutInSpans(small, {taken_.back()});
  faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kSizeMismatch) << "too small to have been borrowed";
}

}  // namespace
}  // namespace spanmalloc

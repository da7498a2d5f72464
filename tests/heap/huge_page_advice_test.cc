// SPDX-License-Identifier: Apache-2.0
//
// Where the page heap asks the kernel for huge pages: only where this process has filled its memory
// densely before, within what that has earned, and no more once a part of it is given back.
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "allocator/heap/page_heap.h"
#include "gtest/gtest.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {
namespace {

using Call = FakeVirtualMemory::Call;

constexpr size_t kBlock = 4 * kPagesPerHugePage + kPagesPerHugePage / 2;  // pages, 9 MiB
constexpr size_t kSlot = kPagesPerHugePage / 4;  // pages of a span in a huge page that is cut

class HugePageAdviceTest : public testing::Test {
 protected:
  HugePageAdviceTest() {
    memory_.GiveHugePages();
    page_heap_.SetHugePageWish(HugePageWish::kOnEvidence);
    // What has to be dense before anything is earned.
    Drop(Dense(8 * kPagesPerHugePage));
    looks_ = memory_.calls(Call::kResident);
  }
  ~HugePageAdviceTest() { EXPECT_TRUE(page_heap_.CheckInvariants()); }

  Span* Allocate(size_t pages) {
    Span* span = page_heap_.AllocateLarge(pages, kPageSize);
    EXPECT_NE(span, nullptr);
    return span;
  }
  static void Fill(const Span* span, size_t begin, size_t end) {
    memset(reinterpret_cast<void*>(span->start + begin * kPageSize), 1, (end - begin) * kPageSize);
  }
  Span* Dense(size_t pages) {
    Span* span = Allocate(pages);
    Fill(span, 0, pages);
    return span;
  }
  // Filled to a 20th.
  Span* Sparse(size_t pages) {
    Span* span = Allocate(pages);
    Fill(span, 0, pages / 20);
    return span;
  }
  // Frees a span and gives its memory back, so that the next one is fresh.
  void Drop(Span* span) {
    ASSERT_EQ(page_heap_.FreeLarge(reinterpret_cast<void*>(span->start)), LargeFault::kNone);
    page_heap_.Release(~size_t{0});
  }
  // How many of a span's huge pages are asked for.
  size_t Asked(const Span* span) {
    const uintptr_t begin = span->start & ~(kHugePageSize - 1);
    return memory_.Advised(begin, RoundUp(span->start + span->bytes() - begin, kHugePageSize));
  }
  size_t AskedInAll() {
    return memory_.Advised(memory_.arena_begin(), memory_.arena_end() - memory_.arena_begin());
  }
  size_t Requests() { return memory_.calls(Call::kAdviseHugePages); }

  // So many dense huge pages, cut into short spans.
  std::vector<Span*> FillCut(size_t huge_pages) {
    std::vector<Span*> spans;
    for (size_t i = 0; i < huge_pages * (kPagesPerHugePage / kSlot); ++i) {
      spans.push_back(Dense(kSlot));
    }
    return spans;
  }

  HeapOnFakes heap_;
  FakeVirtualMemory& memory_ = heap_.memory;
  PageHeap& page_heap_ = heap_.page_heap;
  size_t looks_ = 0;  // at probes, so far
};

TEST_F(HugePageAdviceTest, BlocksAfterADenseOneAreAskedFor) {
  EXPECT_EQ(Asked(Dense(kBlock)), 0u) << "nothing is known yet";
  EXPECT_EQ(Asked(Dense(kBlock)), 4u) << "all but the last, which the block fills by half";
  EXPECT_EQ(Asked(Dense(kBlock)), 4u);
  EXPECT_EQ(Asked(Dense(5 * kPagesPerHugePage - 1)), 5u) << "a page beyond the block is no waste";
}

TEST_F(HugePageAdviceTest, ABlockCanBeFilledLongAfterItWasAllocated) {
  std::vector<Span*> spans;
  for (size_t i = 0; i < 4; ++i) spans.push_back(Allocate(kBlock));
  for (Span* span : spans) Fill(span, 0, kBlock);
  for (Span* span : spans) Drop(span);
  EXPECT_EQ(Asked(Dense(kBlock)), 4u);
}

TEST_F(HugePageAdviceTest, SparseBlocksAreNotAskedFor) {
  for (size_t i = 0; i < 20; ++i) Drop(Sparse(16 * kPagesPerHugePage));
  for (size_t i = 0; i < 20; ++i) Sparse(16 * kPagesPerHugePage);
  EXPECT_EQ(Requests(), 0u);
}

TEST_F(HugePageAdviceTest, ABlockFilledAtItsEndsOnlyIsSparse) {
  for (size_t i = 0; i < 4; ++i) {
    Span* span = Allocate(kBlock);
    Fill(span, 0, kPagesPerHugePage);
    Fill(span, kBlock - 9, kBlock);
    Drop(span);
  }
  EXPECT_EQ(Requests(), 0u);
}

TEST_F(HugePageAdviceTest, NoMoreIsAskedForThanTwiceWhatWasDense) {
  Dense(kBlock);
  EXPECT_EQ(Asked(Sparse(40 * kPagesPerHugePage)), 10u) << "twice the five of the dense block";
  EXPECT_EQ(Asked(Sparse(40 * kPagesPerHugePage)), 0u);
}

// Sparse blocks that live, among dense ones that come and go.
TEST_F(HugePageAdviceTest, NothingIsAskedForWhileABlockIsSparse) {
  std::vector<Span*> sparse;
  for (size_t i = 0; i < 30; ++i) {
    sparse.push_back(Sparse(16 * kPagesPerHugePage));
    // Half of the time the next block begins in what this one leaves resident.
    Span* dense = Dense(kBlock);
    if (i % 2 == 0) {
      Drop(dense);
    } else {
      page_heap_.FreeLarge(reinterpret_cast<void*>(dense->start));
    }
    if (i >= 10) Drop(sparse[i - 10]);
  }
  EXPECT_EQ(Requests(), 0u);
}

TEST_F(HugePageAdviceTest, WhereABlockIsResidentAlreadyNothingIsAskedFor) {
  Span* last = Dense(kBlock);
  page_heap_.FreeLarge(reinterpret_cast<void*>(last->start));
  EXPECT_EQ(Asked(Dense(kBlock)), 0u);
  // Begins where `last` was, and goes on in fresh memory.
  Span* longer = Dense(kBlock);
  const uintptr_t start = longer->start;
  ASSERT_EQ(Asked(longer), 4u);
  page_heap_.FreeLarge(reinterpret_cast<void*>(longer->start));
  longer = Dense(2 * kBlock);
  ASSERT_EQ(longer->start, start);
  EXPECT_EQ(Asked(longer), 8u) << "not where the fifth huge page is resident";
}

TEST_F(HugePageAdviceTest, ASparseBlockOutweighsSomeDenseOnes) {
  Drop(Dense(kBlock));
  Drop(Sparse(kBlock));
  size_t dense = 0;
  for (Span* span = Dense(kBlock); Asked(span) == 0; span = Dense(kBlock)) ++dense;
  EXPECT_GE(dense, 2u);
  // The next one costs twice as much.
  for (size_t i = 0; i < 3; ++i) Drop(Dense(kBlock));
  Drop(Sparse(kBlock));
  size_t dense_then = 0;
  for (Span* span = Dense(kBlock); Asked(span) == 0; span = Dense(kBlock)) ++dense_then;
  EXPECT_GT(dense_then, dense);
}

TEST_F(HugePageAdviceTest, DenseHugePagesOfShortSpansAreAskedFor) {
  FillCut(48);
  EXPECT_GE(AskedInAll(), 8u);
  EXPECT_LE(AskedInAll(), 21u) << "small heaps and probes";
}

TEST_F(HugePageAdviceTest, TheMoreAreCutTheRarerAreProbes) {
  FillCut(96);
  const size_t asked = AskedInAll();
  FillCut(96);
  EXPECT_GE(AskedInAll() - asked, 96u - 8);
}

// Filled by half from here on.
TEST_F(HugePageAdviceTest, AfterAChangeAnEighthOfWhatIsCutIsAskedFor) {
  FillCut(160);
  const size_t asked = AskedInAll();
  for (size_t i = 0; i < 64 * kPagesPerHugePage / kSlot; ++i) Fill(Allocate(kSlot), 0, kSlot / 2);
  EXPECT_LE(AskedInAll() - asked, (160u + 64) / 8);
}

TEST_F(HugePageAdviceTest, HugePagesOfShortSpansThatArentFilledAreNotAskedFor) {
  for (size_t i = 0; i < 48 * kPagesPerHugePage / kSlot; ++i) Fill(Allocate(kSlot), 0, kSlot / 2);
  EXPECT_EQ(Requests(), 0u);
}

TEST_F(HugePageAdviceTest, ASmallHeapIsNotAskedFor) {
  FillCut(23);
  EXPECT_EQ(Requests(), 0u);
}

TEST_F(HugePageAdviceTest, WhatIsReleasedInPartIsAskedForNoMore) {
  std::vector<Span*> spans = FillCut(48);
  ASSERT_GT(AskedInAll(), 0u);
  for (size_t i = 0; i < spans.size(); i += 2) {
    page_heap_.FreeLarge(reinterpret_cast<void*>(spans[i]->start));
  }
  EXPECT_GT(AskedInAll(), 0u) << "free, but resident";
  page_heap_.Release(~size_t{0});
  EXPECT_EQ(AskedInAll(), 0u);
  EXPECT_EQ(page_heap_.Stats().dirty_pages, 0u);
}

TEST_F(HugePageAdviceTest, WhatIsReleasedWholeIsAskedForNoMore) {
  Dense(kBlock);
  Span* span = Dense(kBlock);
  const uintptr_t start = span->start;
  ASSERT_EQ(Asked(span), 4u);
  Drop(span);
  EXPECT_EQ(memory_.Advised(start, 5 * kHugePageSize), 0u);
}

TEST_F(HugePageAdviceTest, WhatIsCutShortIsAskedForNoMore) {
  Dense(kBlock);
  Span* span = Dense(kBlock);
  ASSERT_EQ(Asked(span), 4u);
  page_heap_.ShrinkLarge(span, 3 * kPagesPerHugePage + 10);
  EXPECT_EQ(Asked(span), 0u);
}

TEST_F(HugePageAdviceTest, WhatWasMovedIsAskedForNoMoreOnceReleased) {
  Dense(kBlock);
  Span* from = Dense(kBlock);
  ASSERT_EQ(Asked(from), 4u);
  page_heap_.SetHugePageWish(HugePageWish::kNever);
  Span* to = Allocate(2 * kBlock);
  ASSERT_EQ(Asked(to), 0u);
  ASSERT_TRUE(page_heap_.MoveLarge(from, to));
  EXPECT_EQ(Asked(to), 4u);
  Drop(from);
  Drop(to);
  EXPECT_EQ(AskedInAll(), 0u);
}

TEST_F(HugePageAdviceTest, NeverMeansNever) {
  page_heap_.SetHugePageWish(HugePageWish::kNever);
  for (size_t i = 0; i < 4; ++i) Dense(kBlock);
  FillCut(24);
  EXPECT_EQ(Requests(), 0u);
  EXPECT_EQ(memory_.calls(Call::kResident), looks_);
}

TEST_F(HugePageAdviceTest, AlwaysAsksWithoutEvidence) {
  page_heap_.SetHugePageWish(HugePageWish::kAlways);
  EXPECT_EQ(Asked(Allocate(kBlock)), 5u);
  Allocate(kPagesPerHugePage - kSlot);  // in the first huge page, which was cut before
  EXPECT_EQ(Asked(Allocate(kSlot + 1)), 1u);
  EXPECT_EQ(memory_.calls(Call::kResident), looks_);
}

TEST_F(HugePageAdviceTest, ASlowKernelIsLeftInPeaceForLongerAndLonger) {
  Dense(kBlock);
  memory_.SetTouchNs(5'000'000);
  for (const uint64_t pause : {16u, 32u, 64u}) {
    const size_t requests = Requests();
    EXPECT_EQ(Asked(Dense(kBlock)), 0u) << "taken back";
    EXPECT_EQ(Requests(), requests + 2);
    heap_.clock.Advance(pause - 1);
    Drop(Dense(kBlock));
    EXPECT_EQ(Requests(), requests + 2);
    heap_.clock.Advance(1);
  }
  memory_.SetTouchNs(100'000);
  EXPECT_EQ(Asked(Dense(kBlock)), 4u);
  EXPECT_EQ(Asked(Dense(kBlock)), 4u);
}

TEST_F(HugePageAdviceTest, ASlowKernelIsAskedForOneHugePageOfShortSpansAfterEachPause) {
  FillCut(64);
  memory_.SetTouchNs(5'000'000);
  FillCut(8);  // Of eight one is tried.
  for (const uint64_t pause : {16u, 32u, 64u}) {
    heap_.clock.Advance(pause - 1);
    const size_t requests = Requests();
    FillCut(2);
    EXPECT_EQ(Requests(), requests);
    heap_.clock.Advance(1);
    FillCut(2);
    EXPECT_LE(Requests(), requests + 2) << "taken back";
  }
}

TEST_F(HugePageAdviceTest, ARefusalIsNoHarm) {
  memory_.RefuseAll(Call::kAdviseHugePages);
  for (size_t i = 0; i < 4; ++i) Drop(Dense(kBlock));
  EXPECT_GT(Requests(), 0u);
  EXPECT_EQ(AskedInAll(), 0u);
  memory_.RefuseNothing();
  memory_.RefuseAll(Call::kResident);
  const size_t requests = Requests();
  for (size_t i = 0; i < 40; ++i) Drop(Dense(kBlock));
  EXPECT_LE(Requests() - requests, 10u) << "only what had been earned before";
}

TEST(HugePageAdviceSettingTest, NothingIsAskedOfAKernelThatGivesNoHugePages) {
  for (const HugePageWish wish : {HugePageWish::kOnEvidence, HugePageWish::kAlways}) {
    auto heap = std::make_unique<HeapOnFakes>();
    heap->page_heap.SetHugePageWish(wish);
    for (size_t i = 0; i < 4; ++i) {
      Span* span = heap->page_heap.AllocateLarge(kBlock, kPageSize);
      memset(reinterpret_cast<void*>(span->start), 1, span->bytes());
    }
    EXPECT_EQ(heap->memory.calls(Call::kAdviseHugePages), 0u);
  }
}

}  // namespace
}  // namespace spanmalloc

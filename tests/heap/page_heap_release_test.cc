// SPDX-License-Identifier: Apache-2.0
//
// Memory on its way back to the kernel: what is given, what is kept, and that pages called zero
// really read zero.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "allocator/heap/page_heap.h"
#include "allocator/params/size_class_map.h"
#include "gtest/gtest.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {
namespace {

using Call = FakeVirtualMemory::Call;

bool IsZero(const Span* span) {
  const auto* words = reinterpret_cast<const uint64_t*>(span->start);
  for (size_t i = 0; i < span->bytes() / sizeof(uint64_t); ++i) {
    if (words[i] != 0) return false;
  }
  return true;
}

class PageHeapReleaseTest : public testing::Test {
 protected:
  ~PageHeapReleaseTest() { EXPECT_TRUE(page_heap_.CheckInvariants()); }

  Span* Written(size_t pages) {
    Span* span = page_heap_.AllocateLarge(pages, kPageSize);
    EXPECT_NE(span, nullptr);
    memset(reinterpret_cast<void*>(span->start), 0xcd, span->bytes());
    return span;
  }
  void Free(Span* span) {
    EXPECT_EQ(page_heap_.FreeLarge(reinterpret_cast<void*>(span->start)), LargeFault::kNone);
  }
  size_t DirtyPages() { return page_heap_.Stats().dirty_pages; }

  HeapOnFakes heap_;
  PageHeap& page_heap_ = heap_.page_heap;
};

TEST_F(PageHeapReleaseTest, FreshPagesAreZeroedAndUsedOnesAreNot) {
  for (size_t pages : {10u, 300u}) {
    Span* span = page_heap_.AllocateLarge(pages, kPageSize);
    EXPECT_TRUE(span->zeroed);
    EXPECT_TRUE(IsZero(span));
    memset(reinterpret_cast<void*>(span->start), 1, span->bytes());
    const uintptr_t start = span->start;
    Free(span);
    span = page_heap_.AllocateLarge(pages, kPageSize);
    ASSERT_EQ(span->start, start) << "another place than the one just freed";
    EXPECT_FALSE(span->zeroed);
    Free(span);
    EXPECT_GE(page_heap_.Release(~size_t{0}), pages);
    span = page_heap_.AllocateLarge(pages, kPageSize);
    EXPECT_TRUE(span->zeroed);
    EXPECT_TRUE(IsZero(span));
    Free(span);
  }
}

TEST_F(PageHeapReleaseTest, WhoAskedForWhatDecaysIsToldWhenMuchMoreDoes) {
  constexpr size_t kPages = kPagesPerHugePage;
  std::vector<Span*> spans;
  for (size_t i = 0; i < 64; ++i) spans.push_back(Written(kPages));
  page_heap_.TakeGrowth();
  const auto free_half = [&] {
    for (size_t left = spans.size() - 32; spans.size() > left; spans.pop_back()) Free(spans.back());
  };
  free_half();
  EXPECT_FALSE(page_heap_.HasGrown()) << "nobody asked";
  EXPECT_EQ(page_heap_.DecayingPages(), 32 * kPages - 32 * kPages / 8);
  EXPECT_FALSE(page_heap_.HasGrown());
  free_half();
  EXPECT_TRUE(page_heap_.HasGrown());
  EXPECT_EQ(page_heap_.TakeGrowth().pages, 0u);
  EXPECT_EQ(page_heap_.DecayingPages(), 64 * kPages - ReleasePolicy::kFloorPages);
  EXPECT_FALSE(page_heap_.HasGrown());
}

TEST_F(PageHeapReleaseTest, ReleaseGivesAllThatIsFree) {
  std::vector<Span*> spans;
  for (size_t pages : {3u, 100u, 5u, 250u, 700u, 9u, 2000u}) spans.push_back(Written(pages));
  for (size_t i = 0; i < spans.size(); i += 2) Free(spans[i]);
  const size_t dirty = DirtyPages();
  EXPECT_GT(dirty, 3u);
  EXPECT_EQ(page_heap_.Release(~size_t{0}), dirty);
  EXPECT_EQ(DirtyPages(), 0u);
  const PageHeapStats stats = page_heap_.Stats();
  EXPECT_EQ(stats.released_pages, dirty);
  EXPECT_EQ(stats.releases, 1u);
  EXPECT_EQ(stats.release_calls, heap_.memory.calls(Call::kRelease));
  for (size_t i = 1; i < spans.size(); i += 2) {
    EXPECT_EQ(*reinterpret_cast<unsigned char*>(spans[i]->start), 0xcd) << "in use";
  }
  EXPECT_EQ(page_heap_.Release(~size_t{0}), 0u);
}

TEST_F(PageHeapReleaseTest, ReleasesAboutAsMuchAsAskedFor) {
  std::vector<Span*> spans;
  for (int i = 0; i < 100; ++i) spans.push_back(Written(2 * kPagesPerHugePage));
  for (Span* span : spans) Free(span);
  const size_t dirty = DirtyPages();
  const size_t released = page_heap_.Release(10);
  EXPECT_GE(released, 10u);
  EXPECT_LE(released, 40 * kPagesPerHugePage) << "far more than asked for";
  EXPECT_EQ(DirtyPages(), dirty - released);
}

TEST_F(PageHeapReleaseTest, TellsWhatWasResident) {
  Span* touched = page_heap_.AllocateLarge(300, kPageSize);
  memset(reinterpret_cast<void*>(touched->start), 1, 100 * kPageSize);
  Span* small = page_heap_.AllocateLarge(64, kPageSize);
  memset(reinterpret_cast<void*>(small->start), 1, 10 * kPageSize);
  Free(touched);
  Free(small);
  size_t resident = 0;
  EXPECT_GE(page_heap_.Release(~size_t{0}, &resident), 364u);
  EXPECT_EQ(resident, 110 * kPageSize);
  EXPECT_EQ(page_heap_.Release(~size_t{0}, &resident), 0u);
  EXPECT_EQ(resident, 110 * kPageSize);
}

TEST_F(PageHeapReleaseTest, WhatTheKernelHasFarIntoALongSpanIsCleanToo) {
  Span* span = page_heap_.AllocateShared(static_cast<SizeClass>(SizeClassOf(8200)), InPageMap::kNo);
  ASSERT_NE(span, nullptr);
  ASSERT_GT(span->pages, kPagesOfFirstParts);
  const size_t dirty = DirtyPages();
  size_t resident = 0;
  ASSERT_TRUE(page_heap_.ReleaseParts(span, 30, 20, &resident));
  span->SetReleased(uint64_t{0xfffff} << 30);
  EXPECT_TRUE(page_heap_.CheckInvariants());
  const size_t pages = span->pages;
  page_heap_.FreeShared(span);
  EXPECT_EQ(DirtyPages(), dirty + pages - 10);
  EXPECT_TRUE(page_heap_.CheckInvariants());
}

TEST_F(PageHeapReleaseTest, WhatTheKernelHasOfASpanIsCleanWhenTheSpanIsFreed) {
  Span* span = page_heap_.AllocateShared(static_cast<SizeClass>(SizeClassOf(size_t{64} << 10)),
                                         InPageMap::kNo);
  ASSERT_NE(span, nullptr);
  ASSERT_GE(span->pages, 8u);
  const size_t dirty = DirtyPages();
  const size_t held = page_heap_.HeldPages();
  // Three pages, and half a page.
  size_t resident = 0;
  ASSERT_TRUE(page_heap_.ReleaseParts(span, 2, 7, &resident));
  span->SetReleased(uint64_t{0x7f} << 2);
  EXPECT_EQ(page_heap_.HeldPages(), held - 3);
  EXPECT_TRUE(page_heap_.CheckInvariants());
  const size_t pages = span->pages;
  page_heap_.FreeShared(span);
  EXPECT_EQ(DirtyPages(), dirty + pages - 3);
  EXPECT_EQ(page_heap_.HeldPages(), held - 3);
}

TEST_F(PageHeapReleaseTest, LimitsAreNoticedOnceAndRefuse) {
  page_heap_.SetLimits(1000, 2000);
  Written(900);
  EXPECT_FALSE(page_heap_.LimitNoticed());
  Written(200);
  Written(1);
  EXPECT_TRUE(page_heap_.LimitNoticed());
  EXPECT_TRUE(page_heap_.HasGrown());
  page_heap_.TakeGrowth();
  page_heap_.NoteIdleReturned();
  Written(50);
  EXPECT_FALSE(page_heap_.HasGrown()) << "told twice";
  EXPECT_EQ(page_heap_.AllocateLarge(1000, kPageSize), nullptr);
  EXPECT_TRUE(page_heap_.RefusesForLimit(1000));
  EXPECT_FALSE(page_heap_.RefusesForLimit(500));
  page_heap_.SetLimits(PageHeap::kNoLimit, PageHeap::kNoLimit);
  EXPECT_FALSE(page_heap_.LimitNoticed());
  Written(1000);
}

TEST_F(PageHeapReleaseTest, NothingGoesBackForWhatALimitRefusesAnyway) {
  Span* freed = Written(400);
  Span* stays = Written(100);
  Free(freed);
  page_heap_.SetLimits(PageHeap::kNoLimit, 700);
  EXPECT_EQ(page_heap_.AllocateLarge(601, kPageSize), nullptr);
  EXPECT_EQ(page_heap_.AllocateLarge(5000, kPageSize), nullptr);
  EXPECT_FALSE(page_heap_.GrowLarge(stays, 701, nullptr));
  EXPECT_EQ(heap_.memory.calls(FakeVirtualMemory::kRelease), 0u);
  EXPECT_NE(page_heap_.AllocateLarge(600, kPageSize), nullptr);
}

// Another thread is refused nothing for pages that are on their way to the kernel.
TEST_F(PageHeapReleaseTest, PagesThatAreBeingReleasedCountForNoLimit) {
  Span* freed = Written(100);
  Written(50);  // stays, so that its huge page stays cut
  Free(freed);
  ASSERT_EQ(page_heap_.FreeDirtyPages(), 100u);
  page_heap_.SetLimits(PageHeap::kNoLimit, page_heap_.HeldPages());
  size_t held = 0;
  bool refuses = true;
  heap_.memory.DuringNextRelease([&] {
    held = page_heap_.HeldPages();
    refuses = page_heap_.RefusesForLimit(60);
  });
  EXPECT_GE(page_heap_.Release(~size_t{0}), 100u);
  EXPECT_EQ(held, 50u);
  EXPECT_FALSE(refuses);
  EXPECT_EQ(page_heap_.HeldPages(), 50u);
}

// A huge page that becomes empty after most of it went back counts for what is left of it.
TEST_F(PageHeapReleaseTest, WhatWentBackOfAHugePageIsntHeldWhenItIsEmpty) {
  std::vector<Span*> others;
  std::vector<Span*> last;
  for (int i = 0; i < 8; ++i) {
    others.push_back(Written(240));
    last.push_back(Written(16));
  }
  for (Span* span : others) Free(span);
  EXPECT_EQ(page_heap_.Release(~size_t{0}), 8 * 240u);
  for (Span* span : last) Free(span);
  EXPECT_EQ(page_heap_.FreeDirtyPages(), 8 * 16u);
  EXPECT_EQ(page_heap_.HeldPages(), 8 * 16u);
  EXPECT_TRUE(page_heap_.CheckInvariants());
  EXPECT_EQ(page_heap_.Release(~size_t{0}), 8 * 16u);
  EXPECT_EQ(page_heap_.Stats().huge_pages_cut, 0u);
}

// A child in which they are on their way to the kernel would have lost them.
TEST_F(PageHeapReleaseTest, AForkWaitsForPagesThatAreBeingReleased) {
  for (size_t pages : {100u, 300u}) {
    Span* freed = Written(pages);
    Written(50);  // stays, so that its huge page stays cut
    Free(freed);
    std::atomic<bool> forks = false;
    bool forked_meanwhile = true;
    std::thread forker;
    heap_.memory.DuringNextRelease([&] {
      forker = std::thread([&] {
        page_heap_.LockForFork();
        forks = true;
        page_heap_.UnlockAfterFork();
      });
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      forked_meanwhile = forks;
    });
    EXPECT_GE(page_heap_.Release(~size_t{0}), pages);
    forker.join();
    EXPECT_FALSE(forked_meanwhile) << pages;
    EXPECT_TRUE(forks);
  }
}

TEST_F(PageHeapReleaseTest, ReleasedPartsThatAreRetakenCountAgain) {
  Span* span = page_heap_.AllocateShared(static_cast<SizeClass>(SizeClassOf(size_t{64} << 10)),
                                         InPageMap::kNo);
  ASSERT_TRUE(page_heap_.ReleaseParts(span, 0, 8, nullptr));
  span->SetReleased(0xff);
  const size_t held = page_heap_.HeldPages();
  page_heap_.SetLimits(held + 3, held + 2);
  EXPECT_FALSE(page_heap_.MayRetake(8));
  page_heap_.SetLimits(held + 3, PageHeap::kNoLimit);
  EXPECT_TRUE(page_heap_.MayRetake(8));
  page_heap_.NoteRetaken(8);
  span->SetReleased(0);
  EXPECT_EQ(page_heap_.HeldPages(), held + 4);
  EXPECT_TRUE(page_heap_.LimitNoticed());
  page_heap_.FreeShared(span);
}

// However fast they are freed: no time passes here, and nobody comes by.
TEST_F(PageHeapReleaseTest, FreesGiveBackWhatIsBeyondASetLimit) {
  constexpr size_t kLimit = 1024;
  for (int decay : {2000, -1}) {
    page_heap_.SetDecay(decay);
    page_heap_.SetDirtyLimit(kLimit * kPageSize, 0);
    std::vector<Span*> spans;
    for (size_t i = 0; i < 40; ++i) spans.push_back(Written(i % 4 == 0 ? 300 : 100));
    for (Span* span : spans) {
      Free(span);
      EXPECT_LE(page_heap_.FreeDirtyPages(), kLimit + kLimit / 8);
    }
    EXPECT_GE(page_heap_.FreeDirtyPages(), kLimit - 2 * kPagesPerHugePage) << "gave back too much";
  }
  page_heap_.SetDirtyLimit(0, 0);
  std::vector<Span*> spans;
  for (size_t i = 0; i < 10; ++i) spans.push_back(Written(300));
  for (Span* span : spans) Free(span);
  EXPECT_GE(page_heap_.FreeDirtyPages(), 3000u);
}

TEST_F(PageHeapReleaseTest, BlocksOf32MiBLeaveWhenTheyAreFreedUnlessAllIsKept) {
  for (const int64_t decay : {int64_t{2000}, int64_t{-1}}) {
    page_heap_.SetDecay(decay);
    Free(Written(16 * kPagesPerHugePage));
    EXPECT_EQ(page_heap_.FreeDirtyPages() >= 16 * kPagesPerHugePage, decay < 0);
    page_heap_.ReleaseExcess(heap_.clock.NowMs() + 100'000);
    EXPECT_EQ(page_heap_.FreeDirtyPages() >= 16 * kPagesPerHugePage, decay < 0);
  }
  EXPECT_GE(page_heap_.Release(~size_t{0}), 16 * kPagesPerHugePage) << "when asked to";
}

TEST_F(PageHeapReleaseTest, RefusedReleaseKeepsPagesDirty) {
  Span* run = Written(300);
  Span* cut = Written(100);
  Written(50);  // stays, so that its huge page stays cut
  Free(run);
  Free(cut);
  const size_t dirty = DirtyPages();
  heap_.memory.RefuseAll(Call::kRelease);
  EXPECT_EQ(page_heap_.Release(~size_t{0}), 0u);
  EXPECT_GE(DirtyPages(), dirty);
  EXPECT_TRUE(page_heap_.CheckInvariants());
  Span* again = page_heap_.AllocateLarge(100, kPageSize);
  EXPECT_FALSE(again->zeroed);
  EXPECT_FALSE(IsZero(again)) << "not the pages that the test is about";
  heap_.memory.RefuseNothing();
  page_heap_.Release(~size_t{0});
  EXPECT_EQ(DirtyPages(), 0u);
}

TEST_F(PageHeapReleaseTest, AVeryLargeBlockGoesBackAtOnce) {
  Span* span = page_heap_.AllocateLarge(64 * kPagesPerHugePage, kPageSize);
  for (size_t i = 0; i < span->pages; ++i) {
    *reinterpret_cast<char*>(span->start + i * kPageSize) = 1;
  }
  const size_t calls = heap_.memory.calls(Call::kRelease);
  Free(span);
  EXPECT_GT(heap_.memory.calls(Call::kRelease), calls);
  EXPECT_LT(DirtyPages(), kPagesPerHugePage);
}

TEST_F(PageHeapReleaseTest, ExcessIsWhatWasNotNeededOfLate) {
  std::vector<Span*> spans;
  for (int i = 0; i < 100; ++i) spans.push_back(Written(kPagesPerHugePage));
  page_heap_.ReleaseExcess(heap_.clock.NowMs());
  for (Span* span : spans) Free(span);
  heap_.clock.Advance(100);
  page_heap_.ReleaseExcess(heap_.clock.NowMs());
  EXPECT_GE(DirtyPages(), 100 * kPagesPerHugePage) << "given back at once";
  for (int i = 0; i < 30; ++i) {
    heap_.clock.Advance(100);
    page_heap_.ReleaseExcess(heap_.clock.NowMs());
  }
  EXPECT_LE(DirtyPages(), ReleasePolicy::kFloorPages);
}

TEST_F(PageHeapReleaseTest, GrowthBeyondThePeakIsToldOnce) {
  Span* span = Written(2000);
  EXPECT_TRUE(page_heap_.HasGrown());
  EXPECT_GE(page_heap_.TakeGrowth().pages, 2000u);
  EXPECT_FALSE(page_heap_.HasGrown());
  EXPECT_EQ(page_heap_.TakeGrowth().pages, 0u) << "told twice";
  Free(span);
  page_heap_.Release(~size_t{0});
  page_heap_.NoteIdleReturned();
  span = Written(1990);
  EXPECT_EQ(page_heap_.TakeGrowth().pages, 0u) << "as much was held before";
  Written(1000);
  EXPECT_GE(page_heap_.TakeGrowth().pages, 900u);
  page_heap_.SetDecay(-1);
  Written(1000);
  EXPECT_EQ(page_heap_.TakeGrowth().pages, 0u) << "all is to be kept";
}

TEST_F(PageHeapReleaseTest, WhatTheKernelHasOfSpansMakesRoomBelowThePeak) {
  Span* span = page_heap_.AllocateShared(static_cast<SizeClass>(SizeClassOf(8192)), InPageMap::kNo);
  Written(2000);
  page_heap_.TakeGrowth();
  ASSERT_TRUE(page_heap_.ReleaseParts(span, 0, 4, nullptr));
  span->SetReleased(0xf);
  Written(2);
  EXPECT_EQ(page_heap_.TakeGrowth().pages, 0u);
  EXPECT_TRUE(page_heap_.CheckInvariants());
  page_heap_.FreeShared(span);
}

class PageHeapPeakTest : public PageHeapReleaseTest {
 protected:
  // Leaves a huge page with clean room, and many that are empty and dirty.
  void SetUp() override {
    std::vector<Span*> spans;
    for (int i = 0; i < 20; ++i) spans.push_back(Written(kPagesPerHugePage - 6));
    Written(3);
    for (Span* span : spans) Free(span);
    page_heap_.Release(~size_t{0});
    for (Span*& span : spans) span = Written(kPagesPerHugePage);
    for (Span* span : spans) Free(span);
  }
  size_t Resident() {
    const PageHeapStats stats = page_heap_.Stats();
    return stats.span_pages + stats.dirty_pages;
  }
  // Takes clean pages one by one; how many more are resident at most than were at first.
  size_t GrowthOfTakingCleanPages() {
    const size_t before = Resident();
    size_t most = before;
    for (int i = 0; i < 200; ++i) {
      Written(1);
      if (Resident() > most) most = Resident();
    }
    return most - before;
  }
};

TEST_F(PageHeapPeakTest, CleanPagesAreTakenInsteadOfDirtyOnesNotBesideThem) {
  EXPECT_LE(GrowthOfTakingCleanPages(), 1u);
  const PageHeapStats stats = page_heap_.Stats();
  EXPECT_EQ(stats.release_calls, heap_.memory.calls(Call::kRelease));
}

TEST_F(PageHeapReleaseTest, RoomForCleanPagesIsMadeOnceInAFortiethOfASecond) {
  // Three huge pages with clean room, and many that are empty and dirty.
  std::vector<Span*> spans;
  for (int i = 0; i < 20; ++i) spans.push_back(Written(kPagesPerHugePage - 6));
  for (int i = 0; i < 3; ++i) Written(6);
  for (Span* span : spans) Free(span);
  page_heap_.Release(~size_t{0});
  for (Span*& span : spans) span = Written(kPagesPerHugePage);
  for (Span* span : spans) Free(span);
  const size_t calls = heap_.memory.calls(Call::kRelease);
  for (int i = 0; i < 400; ++i) Written(1);
  EXPECT_EQ(heap_.memory.calls(Call::kRelease), calls + 1);
  heap_.clock.Advance(25);
  Written(1);
  EXPECT_EQ(heap_.memory.calls(Call::kRelease), calls + 2);
}

TEST_F(PageHeapPeakTest, WhoWantsToKeepAllKeepsAll) {
  page_heap_.SetDecay(-1);
  const size_t calls = heap_.memory.calls(Call::kRelease);
  EXPECT_EQ(GrowthOfTakingCleanPages(), 200u);
  EXPECT_EQ(heap_.memory.calls(Call::kRelease), calls);
}

TEST_F(PageHeapReleaseTest, OneGrowthReleasesABoundedNumberOfShortRuns) {
  std::vector<Span*> kept;
  std::vector<Span*> freed;
  for (size_t i = 0; i < 8 * kPagesPerHugePage; ++i) {
    (i % 2 == 0 ? kept : freed).push_back(Written(1));
  }
  for (Span* span : freed) Free(span);
  const size_t dirty = DirtyPages();
  size_t last = heap_.memory.calls(Call::kRelease);
  for (int growth = 0; growth < 40; ++growth) {
    page_heap_.AllocateLarge(kPagesPerHugePage - 1, kPageSize);
    const size_t calls = heap_.memory.calls(Call::kRelease);
    EXPECT_LE(calls - last, 32u);
    last = calls;
    heap_.clock.Advance(100);
  }
  EXPECT_LT(DirtyPages(), dirty / 2) << "many growths release much all the same";
}

// So many blocks of a page, of which every second is freed once all are there.
void FreeEverySecondOf(size_t blocks, PageHeap& heap) {
  std::vector<Span*> freed;
  for (size_t i = 0; i < blocks; ++i) {
    Span* span = heap.AllocateLarge(1, kPageSize);
    if (i % 2 != 0) freed.push_back(span);
  }
  for (Span* span : freed) heap.FreeLarge(reinterpret_cast<void*>(span->start));
}

// By many growths in no time, short runs go back in a large heap if its peak rises by them.
TEST_F(PageHeapReleaseTest, ALargeHeapWhosePeakRisesReleasesShortRunsAtOnce) {
  for (const size_t others : {size_t{0}, size_t{80} * kPagesPerHugePage}) {
    HeapOnFakes on;
    PageHeap& heap = on.page_heap;
    if (others != 0) heap.AllocateLarge(others, kPageSize);
    FreeEverySecondOf(8 * kPagesPerHugePage, heap);
    on.clock.Advance(100);
    std::vector<Span*> grown;
    const auto grow = [&](size_t count) {
      const size_t calls = on.memory.calls(Call::kRelease);
      for (size_t i = 0; i < count; ++i) {
        grown.push_back(heap.AllocateLarge(kPagesPerHugePage - 1, kPageSize));
        EXPECT_LE(on.memory.calls(Call::kRelease) - calls, (i + 1) * 32);
      }
      return on.memory.calls(Call::kRelease) - calls;
    };
    EXPECT_EQ(grow(1), 32u) << "the first is due";
    EXPECT_EQ(grow(10), others == 0 ? 0u : 320u);
    for (Span* span : grown) heap.FreeLarge(reinterpret_cast<void*>(span->start));
    heap.Release(10 * kPagesPerHugePage);
    EXPECT_EQ(grow(9), 0u) << "no more than was held before";
    EXPECT_TRUE(heap.CheckInvariants());
  }
}

// 256 free pages in runs too short: little for a heap of 160 MiB, half of one of 4 MiB.
TEST_F(PageHeapReleaseTest, ASmallHeapBearsFewerShortRuns) {
  for (size_t others : {size_t{0}, size_t{80} * kPagesPerHugePage}) {
    HeapOnFakes on;
    PageHeap& heap = on.page_heap;
    if (others != 0) heap.AllocateLarge(others, kPageSize);
    FreeEverySecondOf(2 * kPagesPerHugePage, heap);
    const size_t dirty = heap.Stats().dirty_pages;
    on.clock.Advance(100);
    heap.AllocateLarge(kPagesPerHugePage - 1, kPageSize);
    EXPECT_EQ(heap.Stats().dirty_pages < dirty, others == 0) << dirty << " were dirty";
  }
}

TEST_F(PageHeapReleaseTest, DecayOfZeroGivesAllAndNegativeNothing) {
  page_heap_.SetDecay(-1);
  Free(Written(5000));
  const size_t kept = DirtyPages();
  heap_.clock.Advance(100000);
  page_heap_.ReleaseExcess(heap_.clock.NowMs());
  EXPECT_EQ(DirtyPages(), kept);
  page_heap_.SetDecay(0);
  page_heap_.ReleaseExcess(heap_.clock.NowMs());
  EXPECT_EQ(DirtyPages(), 0u);
}

TEST_F(PageHeapReleaseTest, CountsPagesThatAreWantedAgainSoon) {
  for (size_t pages : {10u, 300u}) {
    Free(Written(pages));
    page_heap_.Release(~size_t{0});
    const uint64_t before = page_heap_.Stats().reused_pages;
    heap_.clock.Advance(5000);
    Span* span = Written(pages);
    EXPECT_EQ(page_heap_.Stats().reused_pages - before, pages);
    Free(span);
    Free(Written(pages));
    EXPECT_EQ(page_heap_.Stats().reused_pages - before, pages) << "it wasn't given back again";
    page_heap_.Release(~size_t{0});
    heap_.clock.Advance(20000);
    Free(Written(pages));
    EXPECT_EQ(page_heap_.Stats().reused_pages - before, pages) << "that is long ago";
  }
}

TEST_F(PageHeapReleaseTest, APageThatWasNeverGivenBackIsNotReused) {
  Free(Written(10));
  Free(Written(300));
  EXPECT_EQ(page_heap_.Stats().reused_pages, 0u);
}

}  // namespace
}  // namespace spanmalloc

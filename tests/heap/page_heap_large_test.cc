// SPDX-License-Identifier: Apache-2.0
//
// Large spans that change their size: grown and shrunk in place, and moved by the kernel, with
// their contents and with the kernel's refusals at every call.
#include <cstdint>
#include <cstring>
#include <vector>

#include "allocator/heap/page_heap.h"
#include "gtest/gtest.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {
namespace {

using Call = FakeVirtualMemory::Call;
using State = FakeVirtualMemory::State;

constexpr size_t kShort = 40;                        // pages, within a huge page
constexpr size_t kLong = 3 * kPagesPerHugePage + 5;  // pages, a run of huge pages

const void* Pointer(uintptr_t address) { return reinterpret_cast<const void*>(address); }

class PageHeapLargeTest : public testing::Test {
 protected:
  ~PageHeapLargeTest() {
    EXPECT_TRUE(page_heap_.CheckInvariants());
    const PageHeapStats stats = page_heap_.Stats();
    EXPECT_EQ(stats.mapped_pages, stats.span_pages + stats.dirty_pages + stats.clean_pages);
  }

  explicit PageHeapLargeTest(size_t arena_bytes = size_t{4} << 30) : heap_(arena_bytes) {}

  Span* Large(size_t pages) {
    Span* span = page_heap_.AllocateLarge(pages, kPageSize);
    EXPECT_NE(span, nullptr);
    return span;
  }
  LargeFault Free(Span* span) { return page_heap_.FreeLarge(reinterpret_cast<void*>(span->start)); }
  // One word on every page.
  static void Mark(const Span* span, size_t pages, uint64_t seed) {
    for (size_t i = 0; i < pages; ++i) WordOf(span, i) = seed + i;
  }
  static bool IsMarked(const Span* span, size_t pages, uint64_t seed) {
    for (size_t i = 0; i < pages; ++i) {
      if (WordOf(span, i) != seed + i) return false;
    }
    return true;
  }
  static uint64_t& WordOf(const Span* span, size_t page) {
    return *reinterpret_cast<uint64_t*>(span->start + page * kPageSize + 8);
  }

  HeapOnFakes heap_;
  PageHeap& page_heap_ = heap_.page_heap;
};

class PageHeapResizeTest : public PageHeapLargeTest, public testing::WithParamInterface<size_t> {};

TEST_P(PageHeapResizeTest, GrowsInPlaceWhereTheNextPagesAreFree) {
  const size_t pages = GetParam();
  Span* span = Large(pages);
  Mark(span, pages, 7);
  const PageHeapStats before = page_heap_.Stats();
  ASSERT_TRUE(page_heap_.GrowLarge(span, pages + 20, nullptr));
  EXPECT_EQ(span->pages, pages + 20);
  EXPECT_TRUE(IsMarked(span, pages, 7));
  Mark(span, pages + 20, 8);
  EXPECT_EQ(heap_.page_map.SpanOf(Pointer(span->start + span->bytes() - 1)), span);
  EXPECT_EQ(page_heap_.Stats().span_pages, before.span_pages + 20);
  EXPECT_EQ(page_heap_.Stats().large_pages, before.large_pages + 20);
  EXPECT_EQ(page_heap_.Stats().grown_in_place, 1u);
  EXPECT_EQ(Free(span), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

TEST_P(PageHeapResizeTest, DoesNotGrowIntoANeighbour) {
  const size_t pages = GetParam();
  Span* span = Large(pages);
  Span* neighbour = Large(pages);
  Mark(span, pages, 1);
  Mark(neighbour, pages, 2);
  Span* first = span->start < neighbour->start ? span : neighbour;
  const PageHeapStats before = page_heap_.Stats();
  EXPECT_FALSE(page_heap_.GrowLarge(first, pages + kPagesPerHugePage, nullptr));
  EXPECT_EQ(first->pages, pages);
  EXPECT_EQ(page_heap_.Stats().span_pages, before.span_pages);
  EXPECT_TRUE(IsMarked(span, pages, 1));
  EXPECT_TRUE(IsMarked(neighbour, pages, 2));
}

TEST_P(PageHeapResizeTest, ShrinksAndGivesTheTailToOthers) {
  const size_t pages = GetParam();
  Span* span = Large(pages);
  Mark(span, pages, 3);
  for (size_t kept = pages - 1; kept >= 1; kept = kept * 2 / 3) {
    page_heap_.ShrinkLarge(span, kept);
    ASSERT_EQ(span->pages, kept);
    ASSERT_TRUE(IsMarked(span, kept, 3)) << kept;
    ASSERT_TRUE(page_heap_.CheckInvariants());
    ASSERT_EQ(page_heap_.Stats().large_pages, kept);
    ASSERT_EQ(page_heap_.Stats().span_pages, kept);
    ASSERT_EQ(heap_.page_map.SpanOf(Pointer(span->start + span->bytes())), nullptr);
  }
  EXPECT_EQ(Free(span), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

class PageHeapGrowingTest : public PageHeapLargeTest {
 protected:
  Span* Growing(size_t pages) {
    Span* span = page_heap_.AllocateGrowing(pages, &me_);
    EXPECT_NE(span, nullptr);
    return span;
  }

  const int me_ = 0;
  const int other_ = 0;
};

TEST_F(PageHeapGrowingTest, GrowsIntoItsReserveOnly) {
  Span* span = Growing(2);
  ASSERT_GT(span->reserve, 0u);
  const size_t held = span->pages + span->reserve;
  Span* neighbour = Large(kPagesPerHugePage - held);
  Mark(span, 2, 1);
  Mark(neighbour, neighbour->pages, 2);
  EXPECT_EQ(page_heap_.Stats().span_pages, size_t{kPagesPerHugePage});
  EXPECT_FALSE(span->GrowIntoReserve(3, &other_)) << "another thread";
  EXPECT_FALSE(span->GrowIntoReserve(held + 1, &me_)) << "beyond the reserve";
  EXPECT_EQ(span->pages, 2u);
  ASSERT_TRUE(span->GrowIntoReserve(held, &me_));
  EXPECT_EQ(span->pages, held);
  EXPECT_EQ(span->reserve, 0u);
  Mark(span, held, 3);
  EXPECT_TRUE(IsMarked(neighbour, neighbour->pages, 2));
  EXPECT_EQ(page_heap_.Stats().span_pages, size_t{kPagesPerHugePage}) << "counted from the start";
  EXPECT_EQ(Free(span), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().grown_in_place, 1u);
  EXPECT_EQ(Free(neighbour), LargeFault::kNone);
}

TEST_F(PageHeapGrowingTest, OnlyWhatWasWrittenBecomesDirty) {
  Span* span = Growing(2);
  ASSERT_TRUE(span->GrowIntoReserve(5, &me_));
  ASSERT_GT(span->reserve, 0u);
  const size_t dirty = page_heap_.Stats().dirty_pages;
  page_heap_.ReturnReserve(Pointer(span->start), &me_);
  EXPECT_EQ(page_heap_.Stats().dirty_pages, dirty) << "the reserve was never written";
  EXPECT_EQ(Free(span), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().dirty_pages, dirty + 5);
  span = Growing(3);
  ASSERT_TRUE(span->GrowIntoReserve(7, &me_));
  EXPECT_EQ(Free(span), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().dirty_pages, dirty + 7) << "the first five pages were used again";
}

TEST_F(PageHeapGrowingTest, OnlyTheGrowerReturnsTheReserve) {
  Span* span = Growing(2);
  const size_t held = page_heap_.Stats().span_pages;
  page_heap_.ReturnReserve(Pointer(span->start), &other_);
  page_heap_.ReturnReserve(Pointer(span->start + kPageSize), &me_);
  EXPECT_EQ(page_heap_.Stats().span_pages, held);
  page_heap_.ReturnReserve(Pointer(span->start), &me_);
  EXPECT_EQ(page_heap_.Stats().span_pages, 2u);
  EXPECT_FALSE(span->GrowIntoReserve(3, &me_));
  const void* start = Pointer(span->start);
  EXPECT_EQ(Free(span), LargeFault::kNone);
  page_heap_.ReturnReserve(start, &me_);  // freed: nothing happens
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

// At a limit the lock is dropped to release pages: the thread that had the block before may return
// the reserve meanwhile, and a third take its pages.
TEST_F(PageHeapGrowingTest, AReserveThatIsReturnedWhileTheNextGrowerMakesRoom) {
  Span* span = Growing(4);
  const uintptr_t start = span->start;
  const size_t held = span->pages + span->reserve;
  Span* dirty = Large(60);
  Span* stays = Large(60);
  Free(dirty);
  page_heap_.SetLimits(PageHeap::kNoLimit, page_heap_.HeldPages());
  Span* other = nullptr;
  heap_.memory.DuringNextRelease([&] {
    page_heap_.ReturnReserve(Pointer(start), &me_);
    other = page_heap_.AllocateLarge(held / 2, kPageSize);
  });
  page_heap_.GrowLarge(span, held + 8, &other_);
  ASSERT_NE(other, nullptr);
  const size_t end = span->start + (span->pages + span->reserve) * kPageSize;
  EXPECT_TRUE(other->start >= end || other->start + other->bytes() <= span->start) << "overlap";
  page_heap_.SetLimits(PageHeap::kNoLimit, PageHeap::kNoLimit);
  for (Span* each : {span, other, stays}) EXPECT_EQ(Free(each), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

TEST_F(PageHeapGrowingTest, GrowsOnWithAnotherReserve) {
  Span* span = Growing(1);
  const size_t held = 1 + span->reserve;
  ASSERT_LT(held, size_t{kPagesPerHugePage});
  ASSERT_TRUE(page_heap_.GrowLarge(span, held + 1, &other_));
  EXPECT_EQ(span->pages, held + 1);
  EXPECT_GT(span->reserve, 0u);
  EXPECT_FALSE(span->GrowIntoReserve(held + 2, &me_)) << "no more the grower";
  EXPECT_TRUE(span->GrowIntoReserve(held + 2, &other_));
  EXPECT_FALSE(page_heap_.GrowLarge(span, kPagesPerHugePage + 1, &other_));
  EXPECT_EQ(Free(span), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().large_pages, 0u);
}

TEST_F(PageHeapGrowingTest, TheDirtyPagesOfAReserveThatNobodyGrowsIntoAreCounted) {
  Span* whole = Large(kPagesPerHugePage - 1);
  EXPECT_EQ(Free(whole), LargeFault::kNone);
  Span* span = Growing(1);
  ASSERT_TRUE(page_heap_.GrowLarge(span, 3, nullptr));
  ASSERT_GT(span->reserve, 0u);
  EXPECT_EQ(Free(span), LargeFault::kNone);
  EXPECT_TRUE(page_heap_.CheckInvariants());
  EXPECT_EQ(page_heap_.Stats().dirty_pages, size_t{kPagesPerHugePage} - 1);
}

TEST_F(PageHeapGrowingTest, ShrinkingReturnsTheReserveToo) {
  Span* span = Growing(8);
  page_heap_.ShrinkLarge(span, 3);
  EXPECT_EQ(page_heap_.Stats().span_pages, 3u);
  EXPECT_EQ(page_heap_.Stats().large_pages, 3u);
  EXPECT_EQ(Free(span), LargeFault::kNone);
}

TEST_F(PageHeapGrowingTest, TheNextOneGetsTheRoomOfTheLast) {
  Span* span = Growing(1);
  ASSERT_TRUE(page_heap_.GrowLarge(span, span->pages + span->reserve + 1, &me_));
  const size_t held = span->pages + span->reserve;
  const uintptr_t start = span->start;
  Mark(span, span->pages, 1);
  EXPECT_EQ(Free(span), LargeFault::kNone);
  EXPECT_EQ(heap_.page_map.SpanOf(Pointer(start)), nullptr);
  EXPECT_EQ(page_heap_.FreeLarge(reinterpret_cast<void*>(start)), LargeFault::kNoBlock)
      << "freed twice";
  span = Growing(3);
  EXPECT_EQ(span->start, start);
  EXPECT_EQ(span->pages, 3u);
  EXPECT_EQ(span->reserve, held - 3);
  EXPECT_FALSE(span->zeroed);
  EXPECT_EQ(heap_.page_map.SpanOf(Pointer(start)), span);
  EXPECT_TRUE(span->GrowIntoReserve(held, &me_));
  EXPECT_EQ(page_heap_.Stats().span_pages, held);
  EXPECT_EQ(page_heap_.Stats().large_spans, 1u);
  EXPECT_EQ(Free(span), LargeFault::kNone);
}

TEST_F(PageHeapGrowingTest, TheRoomOfTheLastIsFreeForAll) {
  for (int way = 0; way < 3; ++way) {
    Span* span = Growing(40);
    Mark(span, 40, 1);
    EXPECT_EQ(Free(span), LargeFault::kNone);
    if (way == 0) page_heap_.NoteIdleReturned();
    if (way == 1) EXPECT_GE(page_heap_.Release(~size_t{0}), 40u);
    EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
    EXPECT_EQ(page_heap_.Stats().dirty_pages, way == 1 ? 0u : 40u);
    page_heap_.Release(~size_t{0});
    EXPECT_TRUE(page_heap_.CheckInvariants());
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, PageHeapResizeTest, testing::Values(kShort, kLong),
                         [](const testing::TestParamInfo<size_t>& info) {
                           return info.param == kShort ? "InAHugePage" : "RunOfHugePages";
                         });

TEST_F(PageHeapLargeTest, RefusedGrowthOfTheHeapLeavesTheSpan) {
  Span* span = Large(kLong);
  Mark(span, kLong, 1);
  heap_.memory.RefuseAll(Call::kMapAt);
  EXPECT_FALSE(page_heap_.GrowLarge(span, kLong + 1000 * kPagesPerHugePage, nullptr));
  EXPECT_EQ(span->pages, kLong);
  EXPECT_TRUE(IsMarked(span, kLong, 1));
  heap_.memory.RefuseNothing();
  EXPECT_TRUE(page_heap_.GrowLarge(span, kLong + 1000 * kPagesPerHugePage, nullptr));
}

TEST_F(PageHeapLargeTest, AShrunkRunReleasesTheTailItKeepsTheAddressesOf) {
  Span* span = Large(kLong);
  Mark(span, kLong, 1);
  page_heap_.ShrinkLarge(span, kPagesPerHugePage + 1);
  ASSERT_TRUE(page_heap_.GrowLarge(span, 2 * kPagesPerHugePage, nullptr));
  EXPECT_EQ(WordOf(span, kPagesPerHugePage + 1), 0u) << "still resident";
  EXPECT_TRUE(IsMarked(span, kPagesPerHugePage + 1, 1));
}

struct MoveCase {
  const char* name;
  size_t from;
  size_t to;
};

class PageHeapMoveTest : public PageHeapLargeTest, public testing::WithParamInterface<MoveCase> {};

TEST_P(PageHeapMoveTest, MovesContentsAndKeepsBothSpans) {
  Span* from = Large(GetParam().from);
  Span* to = Large(GetParam().to);
  Mark(from, from->pages, 5);
  ASSERT_TRUE(page_heap_.MoveLarge(from, to));
  EXPECT_TRUE(IsMarked(to, GetParam().from, 5));
  EXPECT_TRUE(heap_.memory.IsAll(State::kMapped, Pointer(from->start), from->bytes()));
  EXPECT_EQ(page_heap_.Stats().remapped, 1u);
  EXPECT_EQ(Free(from), LargeFault::kNone);
  EXPECT_TRUE(IsMarked(to, GetParam().from, 5));
  EXPECT_EQ(Free(to), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

TEST_P(PageHeapMoveTest, ARefusedMoveChangesNothing) {
  Span* from = Large(GetParam().from);
  Span* to = Large(GetParam().to);
  Mark(from, from->pages, 5);
  heap_.memory.RefuseAll(Call::kMove);
  EXPECT_FALSE(page_heap_.MoveLarge(from, to));
  EXPECT_TRUE(IsMarked(from, GetParam().from, 5));
  EXPECT_EQ(Free(from), LargeFault::kNone);
  EXPECT_EQ(Free(to), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

// With larger pages of the system what lies behind the source in its last one comes along: the
// target isn't zero behind the source's end any more.
TEST(PageHeapMoveOfLargerPages, ATargetThatGetsMoreThanTheBlockIsNotZeroBehindIt) {
  HeapOnFakes heap(size_t{4} << 30, 65536);
  Span* from = heap.page_heap.AllocateLarge(kPagesPerHugePage + 8, kPageSize);
  memset(reinterpret_cast<char*>(from->start), 7, from->bytes());
  heap.page_heap.ShrinkLarge(from, from->pages - 1);  // too short a tail to be released
  Span* to = heap.page_heap.AllocateLarge(2 * kPagesPerHugePage, kPageSize);
  ASSERT_TRUE(to->zeroed);
  ASSERT_TRUE(heap.page_heap.MoveLarge(from, to));
  EXPECT_EQ(*reinterpret_cast<char*>(to->start + from->bytes()), 7);
  EXPECT_FALSE(to->zeroed);
}

// The kernel moves the pages and refuses new ones for where they were: that span is gone, and its
// addresses are never handed out unmapped.
TEST_P(PageHeapMoveTest, ARefusedReplacementGivesUpTheSourceOnly) {
  Span* from = Large(GetParam().from);
  Span* to = Large(GetParam().to);
  Mark(from, from->pages, 5);
  const uintptr_t source = from->start;
  const size_t from_bytes = from->bytes();
  heap_.memory.Refuse(Call::kMapAt, 1, 1);
  ASSERT_TRUE(page_heap_.MoveLarge(from, to));
  EXPECT_TRUE(IsMarked(to, GetParam().from, 5));
  EXPECT_EQ(heap_.page_map.SpanOf(Pointer(source)), nullptr);
  EXPECT_EQ(page_heap_.FreeLarge(reinterpret_cast<void*>(source)), LargeFault::kNoBlock);
  EXPECT_TRUE(page_heap_.CheckInvariants());
  EXPECT_EQ(page_heap_.Stats().large_spans, 1u);
  for (int i = 0; i < 50; ++i) {
    Span* span = Large(1 + static_cast<size_t>(i) * 17);
    ASSERT_TRUE(heap_.memory.IsAll(State::kMapped, Pointer(span->start), span->bytes()));
    ASSERT_TRUE(span->start + span->bytes() <= source || span->start >= source + from_bytes);
  }
  page_heap_.Release(~size_t{0});
  EXPECT_EQ(Free(to), LargeFault::kNone);
}

// The same with an object that has its span to itself: no large span is lost, and a free of the
// stale pointer doesn't find a class.
TEST_F(PageHeapLargeTest, ARefusedReplacementOfAClassSpanLeavesTheCountsOfLargeSpansAlone) {
  Span* from = page_heap_.AllocateShared(static_cast<SizeClass>(kSizeClasses), InPageMap::kYes);
  ASSERT_NE(from, nullptr);
  Span* to = Large(2 * from->pages);
  const void* source = Pointer(from->start);
  const PageHeapStats before = page_heap_.Stats();
  heap_.memory.Refuse(Call::kMapAt, 1, 1);
  ASSERT_TRUE(page_heap_.MoveLarge(from, to));
  EXPECT_EQ(heap_.page_map.SpanOf(source), nullptr);
  EXPECT_EQ(heap_.page_map.ClassOf(source), kNoSizeClass);
  const PageHeapStats after = page_heap_.Stats();
  EXPECT_EQ(after.large_spans, before.large_spans);
  EXPECT_EQ(after.large_pages, before.large_pages);
  EXPECT_EQ(after.large_freed, before.large_freed);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, PageHeapMoveTest,
    testing::Values(MoveCase{"ShortToShort", kShort, kShort + 9},
                    MoveCase{"ShortToRun", kShort, kLong}, MoveCase{"RunToRun", kLong, 2 * kLong},
                    MoveCase{"WholeHugePages", kPagesPerHugePage, 4 * kPagesPerHugePage}),
    [](const testing::TestParamInfo<MoveCase>& info) { return info.param.name; });

// A chain of moves, as realloc makes them, then the end of all spans.
TEST_F(PageHeapLargeTest, AChainOfMovesEndsWithAnEmptyHeap) {
  Span* span = Large(10);
  Mark(span, 10, 9);
  for (size_t pages = 15; pages < 5000; pages = pages * 3 / 2) {
    Span* to = Large(pages);
    ASSERT_TRUE(page_heap_.MoveLarge(span, to));
    EXPECT_EQ(Free(span), LargeFault::kNone);
    span = to;
    ASSERT_TRUE(IsMarked(span, 10, 9));
    ASSERT_TRUE(page_heap_.CheckInvariants());
  }
  EXPECT_EQ(Free(span), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

// Moved mappings can't merge, and a process may have only so many mappings: past a bound, moves are
// refused until spans that were moved are gone. Shrinking a moved span ends no mapping.
class PageHeapMappingsTest : public PageHeapLargeTest {
 protected:
  PageHeapMappingsTest() : PageHeapLargeTest(size_t{20} << 30) {}
};

TEST_F(PageHeapMappingsTest, MovedMappingsAreBounded) {
  constexpr size_t kBound = 4096;
  std::vector<Span*> moved;
  for (;;) {
    Span* from = Large(2 * kPagesPerHugePage);
    Span* to = Large(2 * kPagesPerHugePage);
    const bool done = page_heap_.MoveLarge(from, to);
    Free(from);
    if (!done) {
      Free(to);
      break;
    }
    page_heap_.ShrinkLarge(to, kPagesPerHugePage);
    page_heap_.ShrinkLarge(to, 1);
    moved.push_back(to);
    ASSERT_LE(moved.size(), kBound);
  }
  EXPECT_EQ(moved.size(), kBound);
  for (Span* span : moved) Free(span);
  Span* from = Large(20);
  EXPECT_TRUE(page_heap_.MoveLarge(from, Large(20))) << "not again after all are gone";
}

}  // namespace
}  // namespace spanmalloc

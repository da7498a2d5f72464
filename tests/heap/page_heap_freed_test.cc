// SPDX-License-Identifier: Apache-2.0
//
// Freed spans of one block, kept for the next: who gets them, who else gets their pages, and when
// they end.
#include <cstdint>
#include <utility>
#include <vector>

#include "allocator/heap/freed_spans.h"
#include "allocator/heap/page_heap.h"
#include "gtest/gtest.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {
namespace {

using Call = FakeVirtualMemory::Call;

void* Pointer(uintptr_t address) { return reinterpret_cast<void*>(address); }

// Within a huge page, and runs of whole ones.
const size_t kLengths[] = {9, 40, 64, 128, 255, 256, 300, 512};

class PageHeapFreedTest : public testing::Test {
 protected:
  ~PageHeapFreedTest() { EXPECT_TRUE(page_heap_.CheckInvariants()); }

  Span* Large(size_t pages, size_t alignment = kPageSize) {
    Span* span = page_heap_.AllocateLarge(pages, alignment);
    EXPECT_NE(span, nullptr);
    return span;
  }
  Span* Written(size_t pages) {
    Span* span = Large(pages);
    for (size_t i = 0; i < pages; ++i) *reinterpret_cast<char*>(span->start + i * kPageSize) = 1;
    return span;
  }
  void Free(Span* span) {
    EXPECT_EQ(page_heap_.FreeLarge(Pointer(span->start)), LargeFault::kNone);
  }
  size_t KernelCalls() {
    size_t calls = 0;
    for (Call call : {Call::kMapAt, Call::kRelease, Call::kMapOver, Call::kUnmap, Call::kMove}) {
      calls += heap_.memory.calls(call);
    }
    return calls;
  }

  HeapOnFakes heap_;
  PageHeap& page_heap_ = heap_.page_heap;
};

TEST_F(PageHeapFreedTest, TheNextOfTheSameLengthGetsTheLastFreed) {
  for (size_t pages : kLengths) {
    Span* first = Large(pages);
    Span* second = Large(pages);
    const uintptr_t start = first->start;
    const uintptr_t later = second->start;
    Free(second);
    Free(first);
    Span* again = Large(pages);
    EXPECT_EQ(again->start, start) << pages;
    EXPECT_EQ(again->pages, pages);
    EXPECT_FALSE(again->zeroed);
    EXPECT_EQ(heap_.page_map.SpanOf(Pointer(start + again->bytes() - 1)), again);
    Span* other = Large(pages);
    EXPECT_EQ(other->start, later);
    Free(again);
    Free(other);
  }
}

TEST_F(PageHeapFreedTest, AKeptSpanIsNoBlock) {
  for (size_t pages : kLengths) {
    Span* span = Large(pages);
    const uintptr_t start = span->start;
    Free(span);
    EXPECT_EQ(heap_.page_map.SpanOf(Pointer(start)), nullptr) << pages;
    EXPECT_EQ(heap_.page_map.SpanOf(Pointer(start + kPageSize)), nullptr);
    EXPECT_EQ(page_heap_.FreeLarge(Pointer(start)), LargeFault::kNoBlock);
    EXPECT_EQ(page_heap_.MissingFault(Pointer(start)), Fault::kDoubleFree);
  }
}

TEST_F(PageHeapFreedTest, BlocksOfClassesAndLargeOnesTakeEachOthersPlaces) {
  const SizeClass size_class = kSizeClasses;  // the largest
  const size_t pages = ShapeOf(size_class).pages;
  Span* object = page_heap_.AllocateShared(size_class, InPageMap::kYes);
  const uintptr_t start = object->start;
  page_heap_.FreeShared(object);
  EXPECT_EQ(heap_.page_map.ClassOf(Pointer(start)), kNoSizeClass);
  Span* large = Large(pages);
  ASSERT_EQ(large->start, start);
  EXPECT_EQ(large->size_class, kNoSizeClass);
  EXPECT_EQ(large->state, SpanState::kLarge);
  Free(large);
  object = page_heap_.AllocateShared(size_class, InPageMap::kYes);
  ASSERT_EQ(object->start, start);
  EXPECT_EQ(heap_.page_map.ClassOf(Pointer(start + object->bytes() - 1)), size_class);
  EXPECT_EQ(object->free_objects, 1u);
  page_heap_.FreeShared(object);
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

TEST_F(PageHeapFreedTest, NoneIsGivenOutBeyondALimitThatWasLoweredSince) {
  Written(100);
  Free(Written(64));
  Free(Written(64));  // kept
  page_heap_.SetLimits(PageHeap::kNoLimit, 120);
  EXPECT_EQ(page_heap_.AllocateLarge(64, kPageSize), nullptr);
  page_heap_.SetLimits(PageHeap::kNoLimit, 164);
  EXPECT_NE(page_heap_.AllocateLarge(64, kPageSize), nullptr);
}

TEST_F(PageHeapFreedTest, AnAlignedRequestGetsAnAlignedOne) {
  constexpr size_t kAlignment = 64 * kPageSize;
  Large(3);
  Span* odd = Large(40);
  ASSERT_NE(odd->start % kAlignment, 0u);
  const uintptr_t start = odd->start;
  Free(odd);
  Span* aligned = Large(40, kAlignment);
  EXPECT_EQ(aligned->start % kAlignment, 0u);
  EXPECT_EQ(Large(40)->start, start);
}

// A steady program needs no system call and has no page released, in whatever order it frees its
// blocks, be they as few as are kept or more.
TEST_F(PageHeapFreedTest, ASteadyProgramNeedsNoKernel) {
  for (size_t pages : {48u, 64u, 87u, 128u, 256u, 512u}) {
    for (size_t blocks : {size_t{16}, FreedSpans::kEnoughPages / pages + 20}) {
      size_t calls = 0;
      for (int round = 0; round < 8; ++round) {
        std::vector<Span*> spans;
        for (size_t i = 0; i < blocks; ++i) spans.push_back(Written(pages));
        if (round == 2) calls = KernelCalls();
        for (size_t i = 0; i < blocks; ++i) Free(round % 2 == 0 ? spans[i] : spans[blocks - 1 - i]);
      }
      EXPECT_EQ(KernelCalls(), calls) << blocks << " of " << pages;
    }
  }
}

// Neither does one whose blocks are never as long as the ones it freed last, and need the pages of
// those.
TEST_F(PageHeapFreedTest, NorDoesOneThatFindsNoneOfItsLength) {
  for (int i = 0; i < 8; ++i) {
    std::vector<Span*> spans;
    for (size_t j = 0; j < 16; ++j) spans.push_back(Written(64));
    for (Span* span : spans) Free(span);
    page_heap_.NoteIdleReturned();
  }
  EXPECT_EQ(heap_.memory.calls(Call::kRelease), 0u);
}

// The same with other lengths in each round, which find no kept span.
TEST_F(PageHeapFreedTest, OtherLengthsGetTheSamePages) {
  for (int i = 0; i < 16; ++i) Written(3);
  size_t mapped = 0;
  for (size_t round = 0; round < 40; ++round) {
    std::vector<Span*> spans;
    for (size_t i = 0; i < 16; ++i) spans.push_back(Written(40 + (round * 7 + i) % 24));
    for (Span* span : spans) Free(span);
    if (round == 4) mapped = page_heap_.Stats().mapped_pages;
  }
  EXPECT_EQ(page_heap_.Stats().mapped_pages, mapped);
}

TEST_F(PageHeapFreedTest, ANeighbourGrowsIntoTheirPages) {
  for (size_t pages : {40u, 256u}) {
    Span* span = Large(pages);
    Span* next = Large(pages);
    if (next->start < span->start) std::swap(span, next);
    ASSERT_EQ(next->start, span->start + span->bytes());
    Free(next);
    EXPECT_TRUE(page_heap_.GrowLarge(span, pages + pages / 2, nullptr)) << pages;
    Free(span);
  }
}

TEST_F(PageHeapFreedTest, TheyAreFreeDirtyPagesThatDecay) {
  page_heap_.SetDecay(1000);
  std::vector<Span*> spans;
  for (int i = 0; i < 20; ++i) spans.push_back(Written(256));
  for (Span* span : spans) Free(span);
  EXPECT_TRUE(page_heap_.Decays());
  page_heap_.ReleaseExcess(heap_.clock.NowMs());
  EXPECT_EQ(heap_.memory.calls(Call::kRelease), 0u);
  heap_.clock.Advance(2000);
  page_heap_.ReleaseExcess(heap_.clock.NowMs());
  heap_.clock.Advance(2000);
  page_heap_.ReleaseExcess(heap_.clock.NowMs());
  EXPECT_NE(heap_.memory.calls(Call::kRelease), 0u);
  EXPECT_LE(page_heap_.Stats().dirty_pages, ReleasePolicy::kFloorPages + kPagesPerHugePage);
}

TEST_F(PageHeapFreedTest, TheyGoBackWhenAllIsToGoBack) {
  for (int way = 0; way < 3; ++way) {
    for (size_t pages : kLengths) Free(Written(pages));
    if (way == 0) EXPECT_NE(page_heap_.Release(~size_t{0}), 0u);
    if (way == 1) EXPECT_TRUE(page_heap_.ReclaimForRetry());
    if (way == 2) page_heap_.ReleaseUnused();
    EXPECT_EQ(page_heap_.Stats().dirty_pages, 0u) << way;
  }
}

TEST_F(PageHeapFreedTest, ALongListEnds) {
  std::vector<Span*> spans;
  for (size_t i = 0; i < 3 * FreedSpans::kMaxSpans; ++i) spans.push_back(Large(20 + i % 50));
  for (Span* span : spans) {
    Free(span);
    ASSERT_TRUE(page_heap_.CheckInvariants());
  }
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

}  // namespace
}  // namespace spanmalloc

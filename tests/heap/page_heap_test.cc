// SPDX-License-Identifier: Apache-2.0
//
// The page heap's spans: where they lie, what the page map says of them, and what is left when the
// kernel refuses a call on the way.
#include "allocator/heap/page_heap.h"

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "allocator/params/size_class_map.h"
#include "gtest/gtest.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {
namespace {

using Call = FakeVirtualMemory::Call;

const void* Pointer(uintptr_t address) { return reinterpret_cast<const void*>(address); }

class PageHeapTest : public testing::Test {
 protected:
  ~PageHeapTest() { EXPECT_TRUE(heap_.page_heap.CheckInvariants()); }

  Span* Shared(SizeClass c) { return heap_.page_heap.AllocateShared(c, InPageMap::kYes); }
  Span* Large(size_t pages, size_t alignment = kPageSize) {
    return heap_.page_heap.AllocateLarge(pages, alignment);
  }
  LargeFault Free(uintptr_t address) {
    return heap_.page_heap.FreeLarge(reinterpret_cast<void*>(address));
  }

  HeapOnFakes heap_;
  PageHeap& page_heap_ = heap_.page_heap;
};

TEST_F(PageHeapTest, SharedSpansAreCarvedAndShownInThePageMap) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    Span* span = Shared(static_cast<SizeClass>(c));
    ASSERT_NE(span, nullptr);
    EXPECT_EQ(span->start % kPageSize, 0u);
    EXPECT_EQ(span->pages, ShapeOf(c).pages);
    EXPECT_EQ(span->free_objects, ShapeOf(c).objects);
    EXPECT_EQ(span->state, SpanState::kDetached);
    const uintptr_t end = span->start + span->bytes();
    EXPECT_EQ(heap_.page_map.ClassOf(Pointer(span->start)), c);
    EXPECT_EQ(heap_.page_map.ClassOf(Pointer(end - 1)), c);
    EXPECT_EQ(heap_.page_map.SpanOf(Pointer(end - 1)), span);
    EXPECT_TRUE(page_heap_.InHeap(span->start));
    memset(reinterpret_cast<void*>(span->start), 1, span->bytes());
    const uintptr_t start = span->start;
    page_heap_.FreeShared(span);
    EXPECT_EQ(heap_.page_map.ClassOf(Pointer(start)), kNoSizeClass);
    EXPECT_EQ(heap_.page_map.SpanOf(Pointer(start)), nullptr);
  }
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

TEST_F(PageHeapTest, SpansOutsideThePageMapAreKnownToTheDirectoryOnly) {
  Span* span = page_heap_.AllocateShared(5, InPageMap::kNo);
  EXPECT_EQ(heap_.page_map.ClassOf(Pointer(span->start)), kNoSizeClass);
  EXPECT_EQ(heap_.page_map.SpanOf(Pointer(span->start)), span);
  page_heap_.FreeShared(span);
}

TEST_F(PageHeapTest, LargeSpansOfEverySizeAndAlignment) {
  struct Request {
    size_t pages;
    size_t alignment;
  };
  std::vector<Span*> spans;
  for (size_t pages : {1u, 7u, 33u, 255u, 256u, 257u, 600u, 1024u}) {
    for (size_t alignment = kPageSize; alignment <= 8 * kHugePageSize; alignment *= 4) {
      Span* span = Large(pages, alignment);
      ASSERT_NE(span, nullptr) << pages << " aligned to " << alignment;
      EXPECT_EQ(span->start % alignment, 0u);
      EXPECT_EQ(span->pages, pages);
      EXPECT_EQ(span->state, SpanState::kLarge);
      EXPECT_EQ(heap_.page_map.ClassOf(Pointer(span->start)), kNoSizeClass);
      EXPECT_EQ(heap_.page_map.SpanOf(Pointer(span->start + span->bytes() - 1)), span);
      EXPECT_TRUE(heap_.memory.IsAll(FakeVirtualMemory::State::kMapped, Pointer(span->start),
                                     span->bytes()));
      spans.push_back(span);
    }
  }
  EXPECT_TRUE(page_heap_.CheckInvariants());
  EXPECT_EQ(page_heap_.Stats().large_spans, spans.size());
  for (Span* span : spans) EXPECT_EQ(Free(span->start), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().large_pages, 0u);
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

TEST_F(PageHeapTest, SpansOfBothKindsShareAHugePageBeforeTheHeapGrows) {
  std::vector<Span*> shared = {Shared(1)};
  Span* in_first = Large(200);
  EXPECT_EQ(HugePageIndex(in_first->start), HugePageIndex(shared[0]->start));
  EXPECT_EQ(page_heap_.Stats().huge_pages_cut, 1u);

  Span* in_second = Large(200);
  EXPECT_EQ(page_heap_.Stats().huge_pages_cut, 2u);
  const size_t room = kPagesPerHugePage - 200;
  while (shared.size() < 2 * (room / shared[0]->pages)) {
    shared.push_back(Shared(1));
    ASSERT_EQ(page_heap_.Stats().huge_pages_cut, 2u) << shared.size();
  }
  EXPECT_EQ(HugePageIndex(in_second->start), HugePageIndex(shared.back()->start));

  EXPECT_EQ(heap_.page_map.SpanOf(Pointer(in_first->start + in_first->bytes() - 1)), in_first);
  for (Span* span : shared) {
    EXPECT_EQ(heap_.page_map.SpanOf(Pointer(span->start + span->bytes() - 1)), span);
  }
  EXPECT_EQ(Free(in_first->start + kPageSize), LargeFault::kInterior);
  EXPECT_EQ(Free(in_first->start), LargeFault::kNone);
  EXPECT_EQ(Free(in_second->start), LargeFault::kNone);
  for (Span* span : shared) {
    const uintptr_t end = span->start + span->bytes();
    page_heap_.FreeShared(span);
    EXPECT_EQ(heap_.page_map.SpanOf(Pointer(end - 1)), nullptr);
  }
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

TEST_F(PageHeapTest, ImpossibleRequestsAreRefused) {
  EXPECT_EQ(Large(kWindowPages + 1), nullptr);
  EXPECT_EQ(Large(~size_t{0}), nullptr);
  EXPECT_EQ(Large(1, 2 * kWindowSize), nullptr);
  EXPECT_EQ(Large(kWindowPages / 2), nullptr) << "more than the arena";
  EXPECT_NE(Large(1), nullptr);
}

TEST_F(PageHeapTest, FreeLargeTellsWhatIsWrong) {
  Span* span = Large(300);
  Span* short_span = Large(3);
  Span* shared = Shared(1);
  const uintptr_t start = span->start;
  EXPECT_EQ(Free(start + kPageSize), LargeFault::kInterior);
  EXPECT_EQ(Free(start + 1), LargeFault::kInterior);
  EXPECT_EQ(Free(start + span->bytes() - 1), LargeFault::kInterior);
  EXPECT_EQ(Free(start + span->bytes()), LargeFault::kNoBlock) << "behind the block";
  EXPECT_EQ(Free(short_span->start + kPageSize), LargeFault::kInterior);
  EXPECT_EQ(Free(shared->start), LargeFault::kNoBlock) << "of a size class";
  EXPECT_EQ(Free(0), LargeFault::kNoBlock);
  EXPECT_EQ(Free(uintptr_t{1} << 20), LargeFault::kNoBlock);
  EXPECT_EQ(Free(start + kWindowSize), LargeFault::kNoBlock) << "same index, another block";
  EXPECT_EQ(Free(start), LargeFault::kNone);
  EXPECT_EQ(Free(start), LargeFault::kNoBlock) << "freed twice";
  EXPECT_EQ(Free(short_span->start), LargeFault::kNone);
  EXPECT_EQ(page_heap_.Stats().large_freed, 2u);
}

// Places that the kernel refuses, then one it grants: lower, and higher.
class PageHeapPlaceTest : public testing::TestWithParam<bool> {};

TEST_P(PageHeapPlaceTest, ARefusedPlaceLeavesTheNextUsable) {
  FakeVirtualMemory memory;
  FakeClock clock;
  MetadataAllocator metadata(memory);
  PageMap page_map(memory);
  PageHeap page_heap(memory, clock, metadata, page_map);
  ASSERT_TRUE(page_map.Init(kWindowSize));
  const uintptr_t low = memory.arena_begin();
  const uintptr_t high = memory.arena_end() - 128 * kHugePageSize;
  const uintptr_t refused = GetParam() ? high : low;
  const uintptr_t granted = GetParam() ? low : high;
  memory.RefuseAll(Call::kMapAt);
  EXPECT_FALSE(page_heap.Init(refused, refused + 100 * kHugePageSize));
  memory.RefuseNothing();
  ASSERT_TRUE(page_heap.Init(granted, granted + 100 * kHugePageSize));
  Span* span = page_heap.AllocateLarge(300, kPageSize);
  ASSERT_NE(span, nullptr);
  EXPECT_GE(span->start, granted);
  Span* shared = page_heap.AllocateShared(1, InPageMap::kYes);
  ASSERT_NE(shared, nullptr);
  EXPECT_EQ(page_map.SpanOf(Pointer(shared->start)), shared);
  EXPECT_FALSE(page_heap.InHeap(refused));
  EXPECT_TRUE(page_heap.CheckInvariants());
}

INSTANTIATE_TEST_SUITE_P(Places, PageHeapPlaceTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return info.param ? "LowerAfterHigher" : "HigherAfterLower";
                         });

// Every call of the kernel on the way of an allocation refused in turn: the allocation fails or
// succeeds, nothing is lost, and the next one succeeds.
TEST_F(PageHeapTest, RefusedCallsLoseNothing) {
  struct Kind {
    const char* name;
    size_t pages;
    SizeClass size_class;
  };
  const auto seven_pages = static_cast<SizeClass>(SizeClassOf(28 * 1024));
  for (Kind kind : {Kind{"shared", 0, seven_pages}, Kind{"short", 100, 0}, Kind{"run", 1000, 0}}) {
    for (Call call : {Call::kMap, Call::kMapAt, Call::kCommit}) {
      SCOPED_TRACE(testing::Message() << kind.name << ", refused call " << call);
      HeapOnFakes heap(size_t{1} << 30);
      const auto allocate = [&] {
        return kind.size_class != 0
                   ? heap.page_heap.AllocateShared(kind.size_class, InPageMap::kYes)
                   : heap.page_heap.AllocateLarge(kind.pages, kPageSize);
      };
      size_t pages = 0;
      size_t failures = 0;
      heap.memory.RefuseAll(call);
      // Until what is there is used up, at most as long as the arena lasts.
      for (int i = 0; i < 20000 && failures < 3; ++i) {
        Span* span = allocate();
        if (span == nullptr) {
          ++failures;
        } else {
          pages += span->pages;
        }
      }
      EXPECT_EQ(heap.page_heap.Stats().span_pages, pages);
      ASSERT_TRUE(heap.page_heap.CheckInvariants());
      EXPECT_EQ(failures, 3u) << "never refused";
      heap.memory.RefuseNothing();
      if (heap.page_heap.Stats().mapped_pages < 100000) EXPECT_NE(allocate(), nullptr);
      EXPECT_TRUE(heap.page_heap.CheckInvariants());
    }
  }
}

TEST_F(PageHeapTest, ReclaimAfterARefusalMakesRoom) {
  std::vector<Span*> spans;
  while (Span* span = Large(64 * kPagesPerHugePage)) spans.push_back(span);
  ASSERT_GT(spans.size(), 10u);
  EXPECT_EQ(Large(64 * kPagesPerHugePage), nullptr);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(Free(spans[i]->start), LargeFault::kNone);
  EXPECT_TRUE(page_heap_.ReclaimForRetry());
  EXPECT_FALSE(page_heap_.ReclaimForRetry()) << "nothing is left to give";
  const PageHeapStats stats = page_heap_.Stats();
  EXPECT_EQ(stats.dirty_pages, 0u);
  EXPECT_EQ(stats.mapped_pages * kPageSize, heap_.memory.mapped_in_arena());
  EXPECT_NE(Large(3 * 64 * kPagesPerHugePage), nullptr) << "the hole is not used again";
}

TEST_F(PageHeapTest, ReportsGrowthUntilToldOtherwise) {
  page_heap_.NoteIdleReturned();
  EXPECT_FALSE(page_heap_.HasGrown());
  for (int i = 0; i < 10; ++i) Large(200);
  EXPECT_TRUE(page_heap_.HasGrown());
  EXPECT_TRUE(page_heap_.TakeGrowth().much);
  EXPECT_FALSE(page_heap_.HasGrown());
  page_heap_.NoteIdleReturned();
  EXPECT_FALSE(page_heap_.TakeGrowth().much);
}

TEST_F(PageHeapTest, StatsAddUp) {
  std::vector<Span*> spans;
  for (size_t i = 0; i < 200; ++i) spans.push_back(Large(1 + i * 3 % 500));
  for (size_t i = 0; i < spans.size(); i += 3) Free(spans[i]->start);
  page_heap_.Release(100);
  const PageHeapStats stats = page_heap_.Stats();
  EXPECT_EQ(stats.mapped_pages, stats.span_pages + stats.dirty_pages + stats.clean_pages);
  EXPECT_EQ(stats.mapped_pages * kPageSize, heap_.memory.mapped_in_arena());
  EXPECT_EQ(stats.large_allocated - stats.large_freed, stats.large_spans);
  EXPECT_EQ(stats.large_allocated, 200u);
}

// Threads that allocate, write and free, while another gives memory back.
TEST_F(PageHeapTest, ThreadsKeepTheirSpansApart) {
  std::atomic<bool> done{false};
  std::thread releaser([&] {
    while (!done) {
      page_heap_.Release(1000);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (unsigned t = 1; t <= 3; ++t) {
    threads.emplace_back([&, t] {
      unsigned n = t;
      for (int round = 0; round < 150; ++round) {
        Span* spans[8];
        for (Span*& span : spans) {
          n = n * 1103515245 + 12345;
          span = (n >> 16) % 3 == 0 ? Shared(static_cast<SizeClass>(1 + (n >> 16) % kSizeClasses))
                                    : Large(1 + (n >> 16) % 300);
          ASSERT_NE(span, nullptr);
          for (size_t page = 0; page < span->pages; page += 7) {
            *reinterpret_cast<volatile unsigned*>(span->start + page * kPageSize) = n;
          }
          span->next = reinterpret_cast<Span*>(uintptr_t{n});
        }
        for (Span* span : spans) {
          const auto mark = static_cast<unsigned>(reinterpret_cast<uintptr_t>(span->next));
          for (size_t page = 0; page < span->pages; page += 7) {
            ASSERT_EQ(*reinterpret_cast<volatile unsigned*>(span->start + page * kPageSize), mark);
          }
          if (span->state == SpanState::kLarge) {
            ASSERT_EQ(Free(span->start), LargeFault::kNone);
          } else {
            page_heap_.FreeShared(span);
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  releaser.join();
  EXPECT_EQ(page_heap_.Stats().span_pages, 0u);
}

}  // namespace
}  // namespace spanmalloc

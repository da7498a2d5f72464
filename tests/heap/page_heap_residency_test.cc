// SPDX-License-Identifier: Apache-2.0
//
// What the page heap finds resident: pages of small and of large spans, free ones, and nothing that
// was never written or was given back.
#include <cstring>
#include <map>
#include <memory>

#include "gtest/gtest.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr SizeClass kClass = 8;

class PageHeapResidencyTest : public testing::Test {
 protected:
  PageHeap& heap() { return fakes_->page_heap; }
  enum class Use { kFree, kSmall, kLarge };
  static void Write(const Span* span) {
    memset(reinterpret_cast<void*>(span->start), 1, span->bytes());
  }

  std::unique_ptr<HeapOnFakes> fakes_ = std::make_unique<HeapOnFakes>();
};

TEST_F(PageHeapResidencyTest, NothingIsBeforeItIsWritten) {
  heap().AllocateShared(kClass, InPageMap::kYes);
  heap().AllocateLarge(40, kPageSize);
  heap().AllocateLarge(1000, kPageSize);
  const PageHeapResidency residency = heap().MeasureResidency();
  EXPECT_EQ(residency.small, 0u);
  EXPECT_EQ(residency.large, 0u);
  EXPECT_EQ(residency.free, 0u);
  EXPECT_GT(residency.tables, 0u);
}

TEST_F(PageHeapResidencyTest, WrittenPagesCountWhereTheyLie) {
  Span* small = heap().AllocateShared(kClass, InPageMap::kYes);
  Span* of_an_arena = heap().AllocateShared(kClass, InPageMap::kNo);
  Span* large = heap().AllocateLarge(40, kPageSize);
  Span* huge = heap().AllocateLarge(1000, kPageSize);
  Write(small);
  Write(of_an_arena);
  Write(large);
  memset(reinterpret_cast<void*>(huge->start), 1, 5 * kPageSize);
  const PageHeapResidency residency = heap().MeasureResidency();
  EXPECT_EQ(residency.small, small->bytes() + of_an_arena->bytes());
  EXPECT_EQ(residency.large, 45 * kPageSize);
  EXPECT_EQ(residency.free, 0u);
}

// A page of the system that spans share counts for the first of them.
TEST_F(PageHeapResidencyTest, LargerPagesOfTheSystem) {
  for (const size_t page_size : {size_t{16384}, size_t{65536}}) {
    fakes_ = std::make_unique<HeapOnFakes>(size_t{1} << 30, page_size);
    std::map<size_t, Use> written;
    const auto write = [&written](const Span* span, Use use) {
      Write(span);
      for (size_t page = 0; page < span->pages; ++page) {
        written[PageIndex(span->start) + page] = use;
      }
    };
    for (size_t pages : {3, 40, 7, 41, 300}) {
      write(heap().AllocateLarge(pages, kPageSize), Use::kLarge);
    }
    Span* freed = heap().AllocateLarge(17, kPageSize);
    write(freed, Use::kFree);
    heap().FreeLarge(reinterpret_cast<void*>(freed->start));
    write(heap().AllocateShared(kClass, InPageMap::kYes), Use::kSmall);
    write(heap().AllocateShared(kClass, InPageMap::kYes), Use::kSmall);
    std::map<size_t, Use> first;  // by pages of the system
    for (const auto& [page, use] : written) {
      Use& of_first = first[page * kPageSize / page_size];
      if (of_first == Use::kFree) of_first = use;
    }
    std::map<Use, size_t> expected;
    for (const auto& [page, use] : written) {
      expected[first[page * kPageSize / page_size]] += kPageSize;
    }
    const PageHeapResidency residency = heap().MeasureResidency();
    EXPECT_EQ(residency.small, expected[Use::kSmall]);
    EXPECT_EQ(residency.large, expected[Use::kLarge]);
    EXPECT_EQ(residency.free, expected[Use::kFree]);
    EXPECT_GT(residency.free, 0u);
  }
}

TEST_F(PageHeapResidencyTest, ASpanOfOneObjectIsSmall) {
  Span* single = heap().AllocateShared(static_cast<SizeClass>(kSizeClasses), InPageMap::kYes);
  Write(single);
  Span* of_an_arena = heap().AllocateShared(static_cast<SizeClass>(kSizeClasses), InPageMap::kNo);
  Write(of_an_arena);
  EXPECT_EQ(heap().MeasureResidency().small, single->bytes() + of_an_arena->bytes());
  EXPECT_EQ(heap().MeasureResidency().large, 0u);
}

TEST_F(PageHeapResidencyTest, FreedPagesAreFreeUntilTheyAreGivenBack) {
  Span* kept = heap().AllocateLarge(40, kPageSize);
  Span* large = heap().AllocateLarge(40, kPageSize);
  Span* huge = heap().AllocateLarge(1000, kPageSize);
  Write(kept);
  Write(large);
  Write(huge);
  const size_t freed = large->bytes() + huge->bytes();
  heap().FreeLarge(reinterpret_cast<void*>(large->start));
  heap().FreeLarge(reinterpret_cast<void*>(huge->start));
  EXPECT_EQ(heap().MeasureResidency().large, kept->bytes());
  EXPECT_EQ(heap().MeasureResidency().free, freed);
  heap().Release(~size_t{0});
  EXPECT_EQ(heap().MeasureResidency().large, kept->bytes());
  EXPECT_EQ(heap().MeasureResidency().free, 0u);
}

TEST_F(PageHeapResidencyTest, UnmappedHugePagesAreSkipped) {
  Span* huge = heap().AllocateLarge(1000, kPageSize);
  Span* behind = heap().AllocateLarge(1000, kPageSize);
  Write(huge);
  Write(behind);
  heap().FreeLarge(reinterpret_cast<void*>(huge->start));
  EXPECT_TRUE(heap().ReclaimForRetry());
  EXPECT_EQ(heap().MeasureResidency().large, 1000 * kPageSize);
  EXPECT_EQ(heap().MeasureResidency().free, 0u);
}

}  // namespace
}  // namespace spanmalloc

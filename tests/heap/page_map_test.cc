// SPDX-License-Identifier: Apache-2.0
//
// From addresses to classes and spans: what was entered is found, everything else, wild pointers
// included, is nothing.
#include "allocator/heap/page_map.h"

#include <cstdint>
#include <memory>
#include <random>

#include "allocator/heap/huge_page.h"
#include "allocator/heap/span.h"
#include "allocator/params/memory_geometry.h"
#include "gtest/gtest.h"
#include "tests/support/fake_virtual_memory.h"

namespace spanmalloc {
namespace {

const void* Pointer(uintptr_t address) { return reinterpret_cast<const void*>(address); }

class PageMapTest : public testing::Test {
 protected:
  // Where tests put things: not far from the window's start, as an address and as an index.
  static constexpr size_t kIndex = 100;
  static constexpr uintptr_t kBase = (uintptr_t{1} << kHeapAddressBit) + kIndex * kHugePageSize;

  FakeVirtualMemory memory_{size_t{2} << 20};
  PageMap page_map_{memory_};
};

TEST_F(PageMapTest, AnswersForNullBeforeItHasTables) {
  EXPECT_EQ(page_map_.ClassOf(nullptr), kNoSizeClass);
  EXPECT_EQ(page_map_.SpanOf(nullptr), nullptr);
}

TEST_F(PageMapTest, InitReportsARefusal) {
  memory_.RefuseAll(FakeVirtualMemory::kReserve);
  EXPECT_FALSE(page_map_.Init(kWindowSize));
  EXPECT_EQ(page_map_.ClassOf(nullptr), kNoSizeClass);
}

TEST_F(PageMapTest, KnowsNothingOfAnyPointerAtFirst) {
  ASSERT_TRUE(page_map_.Init(kWindowSize));
  std::mt19937_64 random(5);
  for (int i = 0; i < 2000; ++i) {
    const void* pointer = Pointer(random());
    ASSERT_EQ(page_map_.ClassOf(pointer), kNoSizeClass);
    ASSERT_EQ(page_map_.SpanOf(pointer), nullptr);
  }
}

TEST_F(PageMapTest, RefusedCoverLeavesWhatWasCovered) {
  ASSERT_TRUE(page_map_.Init(kWindowSize));
  ASSERT_TRUE(page_map_.Cover(kIndex, kIndex + 1));
  const size_t bytes = page_map_.covered_bytes();
  for (size_t nth : {1u, 2u}) {
    memory_.Refuse(FakeVirtualMemory::kCommit, nth, 1);
    EXPECT_FALSE(page_map_.Cover(kIndex + 1, kIndex + 100000));
    EXPECT_EQ(page_map_.covered_bytes(), bytes);
    page_map_.SetClasses(kBase, kPagesPerHugePage, 7);
    EXPECT_EQ(page_map_.ClassOf(Pointer(kBase + kHugePageSize - 1)), 7);
  }
  memory_.RefuseNothing();
  EXPECT_TRUE(page_map_.Cover(kIndex + 1, kIndex + 100000));
  page_map_.SetClasses(kBase + 99998 * kHugePageSize, 1, 7);
}

TEST_F(PageMapTest, CoverEndsWithTheWindow) {
  const size_t huge_pages = 1000;
  ASSERT_TRUE(page_map_.Init(huge_pages * kHugePageSize));
  EXPECT_FALSE(page_map_.Cover(1, huge_pages + 1));
  EXPECT_TRUE(page_map_.Cover(1, huge_pages));
  page_map_.SetClasses(kBase - kIndex * kHugePageSize + huge_pages * kHugePageSize - kPageSize, 1,
                       9);
}

// A heap that can't be placed at one address tries another.
TEST_F(PageMapTest, CoversAPlaceBelowOneThatWasGivenUp) {
  ASSERT_TRUE(page_map_.Init(kWindowSize));
  ASSERT_TRUE(page_map_.Cover(kIndex + 200000, kIndex + 200001));
  ASSERT_TRUE(page_map_.Cover(kIndex, kIndex + 2));
  page_map_.SetClasses(kBase, 2 * kPagesPerHugePage, 3);
  EXPECT_EQ(page_map_.ClassOf(Pointer(kBase + 2 * kHugePageSize - 1)), 3);
  auto huge_page = std::make_unique<HugePage>();
  page_map_.SetHugePage(kIndex + 1, huge_page.get());
  EXPECT_EQ(page_map_.HugePageAt(kIndex + 1), huge_page.get());
}

TEST_F(PageMapTest, CoversAPlaceFarAboveOneThatWasGivenUp) {
  ASSERT_TRUE(page_map_.Init(kWindowSize));
  ASSERT_TRUE(page_map_.Cover(kIndex, kIndex + 1));
  ASSERT_TRUE(page_map_.Cover(kIndex + 200000, kIndex + 200001));
  page_map_.SetClasses(kBase + 200000 * kHugePageSize, kPagesPerHugePage, 3);
  EXPECT_EQ(page_map_.ClassOf(Pointer(kBase + 200000 * kHugePageSize)), 3);
}

TEST_F(PageMapTest, ClassesAreSetForExactlyThePagesNamed) {
  ASSERT_TRUE(page_map_.Init(kWindowSize));
  ASSERT_TRUE(page_map_.Cover(kIndex, kIndex + 1));
  page_map_.SetClasses(kBase + 3 * kPageSize, 2, 41);
  EXPECT_EQ(page_map_.ClassOf(Pointer(kBase + 3 * kPageSize - 1)), kNoSizeClass);
  EXPECT_EQ(page_map_.ClassOf(Pointer(kBase + 3 * kPageSize)), 41);
  EXPECT_EQ(page_map_.ClassOf(Pointer(kBase + 5 * kPageSize - 1)), 41);
  EXPECT_EQ(page_map_.ClassOf(Pointer(kBase + 5 * kPageSize)), kNoSizeClass);
}

TEST_F(PageMapTest, FindsTheSpansOfACutHugePage) {
  ASSERT_TRUE(page_map_.Init(kWindowSize));
  ASSERT_TRUE(page_map_.Cover(kIndex, kIndex + 1));
  auto huge_page = std::make_unique<HugePage>();
  Span span = {};
  span.start = kBase + 3 * kPageSize;
  span.pages = 2;
  huge_page->spans[3] = &span;
  huge_page->spans[4] = &span;
  page_map_.SetHugePage(kIndex, huge_page.get());
  EXPECT_EQ(page_map_.HugePageAt(kIndex), huge_page.get());
  EXPECT_EQ(page_map_.SpanOf(Pointer(span.start)), &span);
  EXPECT_EQ(page_map_.SpanOf(Pointer(span.start + 2 * kPageSize - 1)), &span);
  EXPECT_EQ(page_map_.SpanOf(Pointer(span.start - 1)), nullptr);
  EXPECT_EQ(page_map_.SpanOf(Pointer(span.start + 2 * kPageSize)), nullptr);
  // The same index in other blocks of the address space.
  EXPECT_EQ(page_map_.SpanOf(Pointer(span.start + kWindowSize)), nullptr);
  EXPECT_EQ(page_map_.SpanOf(Pointer(span.start - kWindowSize)), nullptr);
  EXPECT_EQ(page_map_.SpanOf(Pointer(span.start | uintptr_t{1} << 63)), nullptr);
  page_map_.ClearDirectory(kIndex, 1);
  EXPECT_EQ(page_map_.SpanOf(Pointer(span.start)), nullptr);
  EXPECT_EQ(page_map_.HugePageAt(kIndex), nullptr);
}

TEST_F(PageMapTest, FindsLargeSpansUpToTheirLastPage) {
  ASSERT_TRUE(page_map_.Init(kWindowSize));
  ASSERT_TRUE(page_map_.Cover(kIndex, kIndex + 3));
  Span span = {};
  span.start = kBase;
  span.pages = 2 * kPagesPerHugePage + 1;
  page_map_.SetLargeSpan(kIndex, 3, &span);
  EXPECT_EQ(page_map_.SpanOf(Pointer(kBase)), &span);
  EXPECT_EQ(page_map_.SpanOf(Pointer(kBase + 2 * kHugePageSize + kPageSize - 1)), &span);
  EXPECT_EQ(page_map_.SpanOf(Pointer(kBase + 2 * kHugePageSize + kPageSize)), nullptr);
  EXPECT_EQ(page_map_.HugePageAt(kIndex), nullptr) << "not cut";
  page_map_.ClearDirectory(kIndex + 1, 2);
  EXPECT_EQ(page_map_.SpanOf(Pointer(kBase)), &span);
  EXPECT_EQ(page_map_.SpanOf(Pointer(kBase + kHugePageSize)), nullptr);
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// Which kept span serves which request, and which spans are worth keeping.
#include "allocator/heap/freed_spans.h"

#include <cstddef>
#include <cstdint>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

class FreedSpansTest : public testing::Test {
 protected:
  ~FreedSpansTest() { EXPECT_TRUE(freed_.CheckInvariants()); }

  // A span at page `at`.
  Span* Put(uintptr_t at, uint32_t pages, uint32_t reserve = 0, uint32_t huge_pages = 0) {
    Span* span = &spans_[used_++];
    span->start = at * kPageSize;
    span->pages = pages;
    span->reserve = reserve;
    span->huge_pages = huge_pages;
    freed_.Put(span);
    EXPECT_TRUE(freed_.CheckInvariants());
    return span;
  }

  FreedSpans freed_;
  Span spans_[FreedSpans::kMaxSpans] = {};
  size_t used_ = 0;
};

TEST_F(FreedSpansTest, TheLastOfTheSameExtentIsTakenFirst) {
  Span* first = Put(1, 40);
  Span* second = Put(101, 40);
  Put(201, 41);
  // These share a list with 40.
  Put(301, 40 ^ 33);
  EXPECT_EQ(freed_.Take(40, 0, kPageSize), second);
  EXPECT_EQ(freed_.Take(40, 0, kPageSize), first);
  EXPECT_EQ(freed_.Take(40, 0, kPageSize), nullptr);
}

TEST_F(FreedSpansTest, AReserveCountsAndWholeHugePagesAreNoOthers) {
  Span* grown = Put(1, 40, 216);
  Span* run = Put(512, 256, 0, 1);
  EXPECT_EQ(freed_.pages(), 512u);
  EXPECT_EQ(freed_.Take(40, 0, kPageSize), nullptr);
  EXPECT_EQ(freed_.Take(256, 1, kPageSize), run);
  EXPECT_EQ(freed_.Take(256, 0, kPageSize), grown);
  EXPECT_EQ(freed_.pages(), 0u);
}

TEST_F(FreedSpansTest, AlignmentIsObserved) {
  Put(3, 40);
  EXPECT_EQ(freed_.Take(40, 0, 4 * kPageSize), nullptr);
  Span* aligned = Put(8, 40);
  Put(9, 40);
  EXPECT_EQ(freed_.Take(40, 0, 4 * kPageSize), aligned);
}

TEST_F(FreedSpansTest, AnyIsTakenUntilNoneIsLeft) {
  for (uint32_t i = 0; i < FreedSpans::kMaxSpans; ++i) Put(1000 * i, 1 + 8 * i);
  EXPECT_TRUE(freed_.full());
  size_t count = 0;
  while (freed_.TakeAny() != nullptr) {
    ++count;
    ASSERT_TRUE(freed_.CheckInvariants());
  }
  EXPECT_EQ(count, FreedSpans::kMaxSpans);
  EXPECT_EQ(freed_.pages(), 0u);
}

TEST_F(FreedSpansTest, ExpectsWhatWasAskedForLately) {
  EXPECT_FALSE(freed_.Expects(40));
  for (size_t pages : {40, 50, 60, 70, 50, 60}) freed_.Take(pages, 0, kPageSize);
  for (size_t pages : {40, 50, 60, 70}) EXPECT_TRUE(freed_.Expects(pages));
  freed_.Take(80, 0, kPageSize);
  EXPECT_FALSE(freed_.Expects(40)) << "four are remembered, the last different ones";
  EXPECT_TRUE(freed_.Expects(50));
  EXPECT_TRUE(freed_.Expects(80));
}

}  // namespace
}  // namespace spanmalloc

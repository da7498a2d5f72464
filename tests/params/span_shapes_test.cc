// SPDX-License-Identifier: Apache-2.0
//
// How spans are cut: every byte of every span, of the usual lengths and of those that an option
// makes; and what texts say about lengths.
#include "allocator/params/span_shapes.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "allocator/params/size_class_map.h"
#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

class SpanShapesTest : public testing::Test {
 protected:
  ~SpanShapesTest() override { SetSpanLengths("default"); }
};

TEST_F(SpanShapesTest, SpansHoldTheirObjects) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const SpanShape& shape = ShapeOf(c);
    const size_t size = shape.size;
    const size_t objects = shape.objects;
    const size_t bytes = shape.pages * kPageSize;
    SCOPED_TRACE(testing::Message() << "size " << size);
    EXPECT_EQ(size, kSizeClassTable[c].size);
    EXPECT_GE(objects, 1u);
    EXPECT_LE(objects * size, bytes);
    EXPECT_LT(bytes, kHugePageSize);
    const size_t used = objects * size;
    const size_t share = shape.pages * 2u > kMaxSharedSpanPages ? 14 : 32;
    EXPECT_LE((bytes - used) * share, used) << used << " bytes of objects in " << bytes;
    if (objects > 1) EXPECT_LE(shape.pages, kMaxSharedSpanPages);
    if (size > kMaxSharedSpanSize) {
      EXPECT_EQ(objects, 1u);
      EXPECT_EQ(used, bytes);
    } else if (size <= 64) {
      EXPECT_GE(objects, std::min<size_t>(64 * 1024 / size, 2048));
    } else {
      EXPECT_GE(objects, 16384 / size);
    }
  }
}

// Spans of small objects have no rest in a huge page: whole pages of it that another class would
// have to fill, and that are resident.
TEST_F(SpanShapesTest, SpansOfSmallObjectsFillHugePages) {
  for (size_t c = 1; c < kSizeClassEnd && ShapeOf(c).size <= 512; ++c) {
    EXPECT_EQ(kPagesPerHugePage % ShapeOf(c).pages, 0u) << "size " << ShapeOf(c).size;
  }
}

// Of the populations that overhead is measured by, descriptors and ends are at most a fifth of a
// percent.
TEST_F(SpanShapesTest, LargePopulationsHaveLongSpans) {
  for (const size_t size : {16u, 24u, 40u, 64u, 100u, 500u}) {
    const SpanShape& shape = ShapeOf(SizeClassOf(size));
    const size_t used = shape.objects * size_t{shape.size};
    const size_t beside = kCacheLine + shape.pages * kPageSize - used;
    EXPECT_LE(beside * 500, used) << "size " << size;
  }
}

// What a span makes of the byte at `offset`: the index of the object that starts there, or kNone.
constexpr uint64_t kNone = ~uint64_t{0};
uint64_t ObjectAt(const SpanShape& shape, uint64_t offset) {
  const uint64_t index = (offset * shape.reciprocal) >> 32;
  return index < shape.objects && index * shape.size == offset ? index : kNone;
}

void ExpectExactIndices(const SpanShape& shape) {
  const size_t size = shape.size;
  const size_t objects = shape.objects;
  size_t wrong = 0;
  for (uint64_t offset = 0; offset < shape.pages * kPageSize; ++offset) {
    const bool is_start = offset % size == 0 && offset / size < objects;
    wrong += ObjectAt(shape, offset) != (is_start ? offset / size : kNone);
    if (size <= kMaxSharedSpanSize) {
      wrong += ((offset * shape.reciprocal) >> 32) != offset / size;
    }
  }
  EXPECT_EQ(wrong, 0u) << "offsets of size " << size;
}

// Every byte of every span: starts of objects are found with their index, and no other byte (inside
// an object or in the tail) is taken for one. The longest spans contain the others.
TEST_F(SpanShapesTest, ReciprocalsAreExact) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) ExpectExactIndices(ShapeOf(c));
  SetSpanLengths("1-32768:32");
  for (size_t c = 1; c < kSizeClassEnd; ++c) ExpectExactIndices(ShapeOf(c));
}

TEST_F(SpanShapesTest, LengthsAreAsCloseToWhatIsAskedAsCanBe) {
  for (size_t pages : {0u, 1u, 2u, 3u, 5u, 16u, 17u, 31u, 32u, 33u, 4000000000u}) {
    const std::string number = std::to_string(pages);
    ASSERT_TRUE(IsSpanLengths("0-999999999:" + number));
    SetSpanLengths("0-999999999:" + number);
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      const SpanShape& shape = ShapeOf(c);
      const size_t size = shape.size;
      SCOPED_TRACE(testing::Message() << pages << " pages, size " << size);
      const size_t fewest = (size + kPageSize - 1) / kPageSize;
      if (size > kMaxSharedSpanSize) {
        EXPECT_EQ(shape.pages, fewest);
        EXPECT_EQ(shape.objects, 1u);
        continue;
      }
      EXPECT_EQ(shape.pages, pages < fewest ? fewest : pages > 32 ? 32 : pages);
      EXPECT_EQ(shape.objects, shape.pages * kPageSize / size);
      EXPECT_LE(shape.objects, kMaxObjectsPerSpan);
      // All free is the last eighth, one free the first.
      EXPECT_EQ(uint64_t{shape.objects} * 8 * shape.fullness_scale >> 32, 7u);
      const size_t words = shape.pages > kPagesOfFirstParts ? 2 : 3;
      EXPECT_EQ(shape.long_bitmap, shape.objects > words * 64);
    }
  }
}

size_t PagesFor(size_t size) { return ShapeOf(SizeClassOf(size)).pages; }

TEST_F(SpanShapesTest, WhatIsSaidLastOfAClassCounts) {
  const size_t usual = PagesFor(4097);
  SetSpanLengths("1-4096:17|100-200:1|128-128:2");
  EXPECT_EQ(PagesFor(16), 17u);
  EXPECT_EQ(PagesFor(96), 17u);
  EXPECT_EQ(PagesFor(112), 1u);
  EXPECT_EQ(PagesFor(128), 2u);
  EXPECT_EQ(PagesFor(144), 1u);
  EXPECT_EQ(PagesFor(192), 1u);
  EXPECT_EQ(PagesFor(208), 17u);
  EXPECT_EQ(PagesFor(4096), 17u);
  EXPECT_EQ(PagesFor(4097), usual);
  SetSpanLengths("128-128:3");
  EXPECT_EQ(PagesFor(128), 3u);
  EXPECT_NE(PagesFor(112), 1u) << "of an earlier text";
}

TEST_F(SpanShapesTest, TextsThatSayNothingOfAClassChangeNothing) {
  std::string usual;
  for (size_t c = 1; c < kSizeClassEnd; ++c) usual += std::to_string(ShapeOf(c).pages) + ' ';
  for (const char* text : {"default", "17-31:5", "32769-999999:1", "200-100:9", "1-8:4|"}) {
    ASSERT_TRUE(IsSpanLengths(text)) << text;
    SetSpanLengths(text);
    std::string now;
    for (size_t c = 1; c < kSizeClassEnd; ++c) now += std::to_string(ShapeOf(c).pages) + ' ';
    EXPECT_EQ(now, usual) << text;
  }
}

TEST_F(SpanShapesTest, OnlyWholeSegmentsAreText) {
  for (const char* text : {"1-2:3", "1-2:3|4-5:6", "1-2:3|", "0-0:0", "default"}) {
    EXPECT_TRUE(IsSpanLengths(text)) << text;
  }
  for (const char* text : {"",
                           "|",
                           "1",
                           "1-",
                           "1-2",
                           "1-2:",
                           "1:2-3",
                           "1-2:3|4",
                           "1-2:3||4-5:6",
                           "|1-2:3",
                           "a-2:3",
                           "1-2:x",
                           " 1-2:3",
                           "1-2:3 ",
                           "-1-2:3",
                           "1--2:3",
                           "1-2:-3",
                           "0x1-2:3",
                           "1-2:3,",
                           "Default",
                           "default|1-2:3",
                           "1-2:99999999999999999999",
                           "99999999999999999999-1:1",
                           "1-2|3"}) {
    EXPECT_FALSE(IsSpanLengths(text)) << text;
  }
}

}  // namespace
}  // namespace spanmalloc

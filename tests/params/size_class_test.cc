// SPDX-License-Identifier: Apache-2.0
//
// The size class table and the map from requests to it: every request up to the largest class.
#include <cstddef>
#include <cstdint>

#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_map.h"
#include "allocator/params/size_class_table.h"
#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

TEST(SizeClassTableTest, SizesAscendInMultiplesOfTheAlignment) {
  EXPECT_EQ(kSizeClassTable[kNoSizeClass].size, 0u);
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    EXPECT_GT(kSizeClassTable[c].size, kSizeClassTable[c - 1].size) << c;
    EXPECT_EQ(kSizeClassTable[c].size % kMinAlignment, 0u) << c;
  }
  EXPECT_EQ(kSizeClassTable[kSizeClasses].size, kMaxClassSize);
}

// The largest request of a class and the smallest, the size of the class before plus one.
TEST(SizeClassTableTest, RoundingWastesNoMoreThanPromised) {
  for (size_t c = 2; c < kSizeClassEnd; ++c) {
    const size_t size = kSizeClassTable[c].size;
    const size_t step = size - kSizeClassTable[c - 1].size;
    if (size <= 256) {
      EXPECT_EQ(step, 16u) << size;
    } else {
      EXPECT_LE(step * 100, size * 20) << "more than 20 % of " << size;
    }
    if (size > 256 && size <= 512) {
      EXPECT_EQ(step, 32u) << size;
    }
    if (size > 512 && size <= 1024) {
      EXPECT_EQ(step, 64u) << size;
    }
  }
}

TEST(SizeClassTableTest, BatchesFitCachesAndLists) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const SizeClassInfo& info = kSizeClassTable[c];
    SCOPED_TRACE(testing::Message() << "size " << info.size);
    EXPECT_GE(info.batch, 1u);
    EXPECT_LE(info.batch, 64u);
    EXPECT_LE(info.batch, info.cache_limit);
    EXPECT_LE(info.batch, info.central_limit);
  }
}

TEST(SizeClassMapTest, EveryRequestGetsTheSmallestClassThatHoldsIt) {
  EXPECT_EQ(SizeClassOf(0), 1u);
  for (size_t size = 1; size <= kMaxClassSize; ++size) {
    const size_t c = SizeClassOf(size);
    ASSERT_GE(c, 1u) << size;
    ASSERT_LT(c, kSizeClassEnd) << size;
    ASSERT_GE(kSizeClassTable[c].size, size);
    ASSERT_LT(kSizeClassTable[c - 1].size, size);
  }
}

TEST(SizeClassMapTest, TableAndComputationMeetWithoutAGap) {
  EXPECT_EQ(kSmallClassTable[kSmallTableSize - 1], SizeClassOf(kMaxTableSize));
  EXPECT_EQ(kSizeClassTable[SizeClassOf(kMaxTableSize)].size, kMaxTableSize);
  EXPECT_EQ(SizeClassOf(kMaxTableSize + 1), SizeClassOf(kMaxTableSize) + 1);
}

// A request aligned to `alignment`, by trying the classes one after the other.
size_t ExpectedAligned(size_t size, size_t alignment) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    if (kSizeClassTable[c].size >= size && kSizeClassTable[c].size % alignment == 0) return c;
  }
  return kNoSizeClass;
}

TEST(SizeClassMapTest, AlignedRequestsGetTheSmallestAlignedClass) {
  for (size_t alignment = 1; alignment <= kPageSize; alignment *= 2) {
    for (size_t size = 0; size <= kMaxClassSize + 100; size += size < 4096 ? 1 : 61) {
      ASSERT_EQ(AlignedSizeClassOf(size, alignment), ExpectedAligned(size, alignment))
          << size << " aligned to " << alignment;
    }
  }
  EXPECT_EQ(AlignedSizeClassOf(kMaxClassSize, kPageSize), kSizeClasses);
  EXPECT_EQ(AlignedSizeClassOf(kMaxClassSize + 1, 16), kNoSizeClass);
  EXPECT_EQ(AlignedSizeClassOf(SIZE_MAX, 16), kNoSizeClass);
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic between addresses and indices.
#include "allocator/params/memory_geometry.h"

#include <cstdint>
#include <random>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

TEST(MemoryGeometryTest, MeasuresFitIntoEachOther) {
  EXPECT_EQ(kPagesPerHugePage * kPageSize, kHugePageSize);
  EXPECT_EQ(kWindowPages * kPageSize, kWindowSize);
  EXPECT_EQ(kWindowHugePages * kHugePageSize, kWindowSize);
  EXPECT_EQ(kPageSize % kCacheLine, 0u);
}

TEST(MemoryGeometryTest, IndicesCountPagesFromTheWindowsStart) {
  for (uintptr_t block : {uintptr_t{0}, uintptr_t{kWindowSize}, uintptr_t{1} << kHeapAddressBit,
                          (uintptr_t{1} << kHeapAddressBit) + 3 * kWindowSize}) {
    EXPECT_EQ(PageIndex(block), 0u);
    EXPECT_EQ(PageIndex(block + kPageSize - 1), 0u);
    EXPECT_EQ(PageIndex(block + kPageSize), 1u);
    EXPECT_EQ(PageIndex(block + kWindowSize - 1), kWindowPages - 1);
    EXPECT_EQ(HugePageIndex(block + kHugePageSize - 1), 0u);
    EXPECT_EQ(HugePageIndex(block + kHugePageSize), 1u);
    EXPECT_EQ(HugePageIndex(block + kWindowSize - 1), kWindowHugePages - 1);
  }
}

TEST(MemoryGeometryTest, EveryAddressHasAnIndexWithinTheWindow) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; ++i) {
    const uintptr_t address = random();
    ASSERT_EQ(PageIndex(address), address % kWindowSize / kPageSize);
    ASSERT_EQ(HugePageIndex(address), address % kWindowSize / kHugePageSize);
  }
  EXPECT_EQ(PageIndex(UINTPTR_MAX), kWindowPages - 1);
}

TEST(MemoryGeometryTest, RoundsUp) {
  EXPECT_EQ(RoundUp(0, 16), 0u);
  EXPECT_EQ(RoundUp(1, 16), 16u);
  EXPECT_EQ(RoundUp(16, 16), 16u);
  EXPECT_EQ(RoundUp(10, 3), 12u);
  EXPECT_EQ(PagesFor(0), 0u);
  EXPECT_EQ(PagesFor(1), 1u);
  EXPECT_EQ(PagesFor(kPageSize), 1u);
  EXPECT_EQ(PagesFor(kPageSize + 1), 2u);
  EXPECT_EQ(PagesFor(kMaxRequest), (kMaxRequest >> kPageShift) + 1);
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// The large size classes: bounds by which blocks above kMaxClassSize are told apart in statistics,
// four to a doubling as among the smaller ones; and the classes of runs of free pages. (A large
// block itself is a whole number of pages.)
#ifndef SPANMALLOC_ALLOCATOR_PARAMS_LARGE_CLASSES_H_
#define SPANMALLOC_ALLOCATOR_PARAMS_LARGE_CLASSES_H_

#include <cstddef>

#include "absl/numeric/bits.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_table.h"

namespace spanmalloc {

inline constexpr size_t kLargeClasses = static_cast<size_t>(4) * (kWindowShift - 18);
static_assert(size_t{1} << 18 == kMaxClassSize);

constexpr size_t LargeClassSize(size_t index) {
  return (kMaxClassSize + (index % 4 + 1) * (kMaxClassSize / 4)) << (index / 4);
}
static_assert(LargeClassSize(0) == 320 * 1024);
static_assert(LargeClassSize(kLargeClasses - 1) == kWindowSize);

// The class of a large block; the first one, too, of a span of its own that is shorter.
constexpr size_t LargeClassOf(size_t bytes) {
  if (bytes <= kMaxClassSize) return 0;
  const size_t last = bytes - 1;
  const auto log = static_cast<size_t>(absl::bit_width(last)) - 1;
  return 4 * (log - 18) + (last >> (log - 2)) % 4;
}
static_assert(LargeClassOf(LargeClassSize(0)) == 0 && LargeClassOf(LargeClassSize(0) + 1) == 1);
static_assert(LargeClassOf(LargeClassSize(3)) == 3 && LargeClassOf(LargeClassSize(3) + 1) == 4);
static_assert(LargeClassOf(kWindowSize) == kLargeClasses - 1);

// Runs of free pages: up to a page, 64 KiB, 256 KiB, and then as above.
inline constexpr size_t kShortExtents = 3;
inline constexpr size_t kExtentClasses = kShortExtents + kLargeClasses;
constexpr size_t ExtentClassOf(size_t bytes) {
  if (bytes > kMaxClassSize) return kShortExtents + LargeClassOf(bytes);
  return bytes <= kPageSize ? 0 : bytes <= 64 * 1024 ? 1 : 2;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PARAMS_LARGE_CLASSES_H_

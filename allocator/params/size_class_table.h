// SPDX-License-Identifier: Apache-2.0
//
// The size classes: 69 sizes to which requests up to 256 KiB are rounded, and how many objects of
// each are moved and kept at once. Facts only, computed at compile time. How spans are cut into
// objects: span_shapes.h.
//
// Every size is a multiple of 16, malloc's alignment. Up to 256 bytes the step is 16, up to 512
// it is 32, up to 1 KiB 64: rounding wastes 4 % on average above 128 bytes. From there on there
// are four sizes to a doubling (20 % waste at most), and up to 32 KiB one more, a header's length
// above each power of two: programs ask for a power of two and a header more often than for
// anything else, and would waste a fifth each time. Above 32 KiB the waste of rounding is address
// space, not memory, since a span there holds one object whose tail nobody touches.
#ifndef SPANMALLOC_ALLOCATOR_PARAMS_SIZE_CLASS_TABLE_H_
#define SPANMALLOC_ALLOCATOR_PARAMS_SIZE_CLASS_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/numeric/bits.h"
#include "allocator/params/memory_geometry.h"

namespace spanmalloc {

// Classes are numbered from 1: 0 in the page map means "no size class here".
using SizeClass = uint8_t;
inline constexpr SizeClass kNoSizeClass = 0;
inline constexpr size_t kSizeClasses = 69;
inline constexpr size_t kSizeClassEnd = kSizeClasses + 1;

// Requests up to this many bytes find their class in a table of 16-byte steps.
inline constexpr size_t kMaxTableSize = 1024;
// Requests up to this many bytes have a class; larger ones are spans of their own.
inline constexpr size_t kMaxClassSize = 256 * 1024;
// Above this size, a span holds one object.
inline constexpr size_t kMaxSharedSpanSize = 32 * 1024;

struct SizeClassInfo {
  uint32_t size;           // bytes of an object
  uint32_t batch;          // objects moved between a thread cache and a central free list at once
  uint32_t cache_limit;    // objects a thread cache may hold at most
  uint32_t central_limit;  // object pointers a CPU's central free list may hold at most
};

namespace size_class_internal {

constexpr uint32_t Clamp(size_t value, size_t low, size_t high) {
  return static_cast<uint32_t>(value < low ? low : value > high ? high : value);
}

// What the class above a power of two holds more than that.
constexpr size_t HeaderSize(size_t power) { return power / 32 < 64 ? power / 32 : 64; }

constexpr SizeClassInfo MakeInfo(size_t size) {
  SizeClassInfo info = {};
  info.size = static_cast<uint32_t>(size);
  info.batch = Clamp(8192 / size, size > kMaxSharedSpanSize ? 1 : 2, 64);
  info.cache_limit =
      size > kMaxSharedSpanSize ? Clamp(128 * 1024 / size, 1, 4) : Clamp(64 * 1024 / size, 4, 1024);
  info.central_limit =
      size > kMaxSharedSpanSize ? Clamp(512 * 1024 / size, 2, 8) : Clamp(64 * 1024 / size, 16, 512);
  return info;
}

constexpr std::array<SizeClassInfo, kSizeClassEnd> MakeTable() {
  std::array<SizeClassInfo, kSizeClassEnd> table = {};
  size_t c = 1;
  for (size_t size = 16; size <= 256; size += 16) table[c++] = MakeInfo(size);
  for (size_t size = 288; size <= 512; size += 32) table[c++] = MakeInfo(size);
  for (size_t size = 576; size <= 1024; size += 64) table[c++] = MakeInfo(size);
  for (size_t base = 1024; base < kMaxClassSize; base *= 2) {
    if (base < kMaxSharedSpanSize) table[c++] = MakeInfo(base + HeaderSize(base));
    for (size_t quarter = 1; quarter <= 4; ++quarter) {
      table[c++] = MakeInfo(base + quarter * base / 4);
    }
  }
  return table;
}

}  // namespace size_class_internal

inline constexpr std::array<SizeClassInfo, kSizeClassEnd> kSizeClassTable =
    size_class_internal::MakeTable();

// Objects of any one class that a thread cache may hold at most: the smallest's.
inline constexpr uint32_t kMaxCacheLimit = kSizeClassTable[1].cache_limit;

// Whether an object of class `lender` holds one of class `c` and not two.
constexpr bool HoldsOne(size_t lender, size_t c) {
  return lender > c && kSizeClassTable[lender].size <= 2 * kSizeClassTable[c].size;
}

// Whether objects of class `lender` may be given out as such of class `c`, whose callers may count
// on its alignment, too.
constexpr bool MayLend(size_t lender, size_t c) {
  return HoldsOne(lender, c) && absl::countr_zero(kSizeClassTable[lender].size) >=
                                    absl::countr_zero(kSizeClassTable[c].size);
}

static_assert(kSizeClassTable[kSizeClasses].size == kMaxClassSize);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PARAMS_SIZE_CLASS_TABLE_H_

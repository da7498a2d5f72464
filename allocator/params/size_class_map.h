// SPDX-License-Identifier: Apache-2.0
//
// From a request to its size class. Small requests read a table of one byte per 16-byte step, a
// copy of which sits in every thread cache; larger ones a second table, and the largest compute
// the class.
// Called by every entry point; no state.
#ifndef SPANMALLOC_ALLOCATOR_PARAMS_SIZE_CLASS_MAP_H_
#define SPANMALLOC_ALLOCATOR_PARAMS_SIZE_CLASS_MAP_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_table.h"
#include "allocator/util/attributes.h"

namespace spanmalloc {

inline constexpr size_t kSmallTableSize = kMaxTableSize / 16 + 1;
using SmallClassTable = std::array<SizeClass, kSmallTableSize>;

// Entry i serves requests of (16 (i-1), 16 i] bytes; entry 0 serves requests of zero bytes, which
// get an object of the smallest class.
constexpr SmallClassTable MakeSmallClassTable() {
  SmallClassTable table = {};
  SizeClass c = 1;
  for (size_t i = 0; i < kSmallTableSize; ++i) {
    while (kSizeClassTable[c].size < i * 16) ++c;
    table[i] = c;
  }
  return table;
}

inline constexpr SmallClassTable kSmallClassTable = MakeSmallClassTable();

// Requests up to kMaxSharedSpanSize read a second table, of 32-byte steps, of which every class
// above kMaxTableSize is a multiple.
inline constexpr size_t kMediumStep = 32;
using MediumClassTable = std::array<SizeClass, kMaxSharedSpanSize / kMediumStep + 1>;

constexpr MediumClassTable MakeMediumClassTable() {
  MediumClassTable table = {};
  SizeClass c = 1;
  for (size_t i = 0; i < table.size(); ++i) {
    while (kSizeClassTable[c].size < i * kMediumStep) ++c;
    table[i] = c;
  }
  return table;
}

inline constexpr MediumClassTable kMediumClassTable = MakeMediumClassTable();

// Requires: kMaxSharedSpanSize < size <= kMaxClassSize. Four classes to a doubling.
constexpr size_t WideSizeClass(size_t size) {
  const size_t last = size - 1;
  // Of a number that isn't 0 the compiler makes this one instruction.
  const unsigned exponent = 63u ^ static_cast<unsigned>(__builtin_clzll(last));
  // Counted from the largest class, whose exponent is 17 and whose quarter is 7.
  return kSizeClasses + 4 * exponent + (last >> (exponent - 2)) - (4 * 17 + 7);
}

// Requires: kMaxTableSize < size <= kMaxClassSize.
ALLOC_FAST_PATH size_t MediumSizeClass(size_t size) {
  if (ABSL_PREDICT_TRUE(size <= kMaxSharedSpanSize)) {
    return kMediumClassTable[(size + kMediumStep - 1) / kMediumStep];
  }
  return WideSizeClass(size);
}

// Requires: size <= kMaxClassSize.
ALLOC_FAST_PATH size_t SizeClassOf(size_t size) {
  return size <= kMaxTableSize ? kSmallClassTable[(size + 15) / 16] : MediumSizeClass(size);
}

// Whether realloc leaves a block of class `c` where it is when asked for `size` bytes, though
// another class would serve them: beyond kMaxTableSize, below which sized free trusts the size, if
// the block is used at least by half.
ALLOC_FAST_PATH bool MayKeepClass(size_t c, size_t size) {
  const size_t object_size = kSizeClassTable[c].size;
  return size > kMaxTableSize && size <= object_size && size >= object_size / 2;
}

// Whether `size` is a multiple of `alignment`, a power of two.
ALLOC_FAST_PATH bool IsMultiple(size_t size, size_t alignment) {
  return (size & (alignment - 1)) == 0;
}

// The class whose objects are aligned to `alignment` (a power of two) and hold `size` bytes: the
// smallest one whose size is a multiple of the alignment, since spans start on pages. kNoSizeClass
// if there is none, as for every alignment beyond a page.
inline size_t AlignedSizeClassOf(size_t size, size_t alignment) {
  if (size > kMaxClassSize || alignment > kPageSize) return kNoSizeClass;
  for (size_t c = SizeClassOf(size); c < kSizeClassEnd; ++c) {
    if (IsMultiple(kSizeClassTable[c].size, alignment)) return c;
  }
  return kNoSizeClass;
}

// The usable size of a block of `size` bytes at `alignment`, a power of two; 0 if there can be
// none.
inline size_t UsableSizeFor(size_t size, size_t alignment) {
  const size_t c = AlignedSizeClassOf(size, alignment);
  if (c != kNoSizeClass) return kSizeClassTable[c].size;
  if (size > kWindowSize || alignment > kWindowSize) return 0;
  return RoundUp(size == 0 ? 1 : size, kPageSize);
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PARAMS_SIZE_CLASS_MAP_H_

// SPDX-License-Identifier: Apache-2.0
//
// How the spans of each size class are cut: how long they are, and how many objects they hold.
//
// A span is as short as holds 16 KiB of objects with little left over: a short span is sooner
// empty, and can then serve another class. Of some small sizes it is up to 64 KiB long, so that
// descriptors and ends weigh less where there are many, and it divides a huge page.
//
// The option slab_sizes makes spans of other lengths. They are set while the options are loaded,
// before there is a span, and constant from then on. Read by whoever carves spans, puts objects
// back into them or counts them; a hit doesn't come here.
#ifndef SPANMALLOC_ALLOCATOR_PARAMS_SPAN_SHAPES_H_
#define SPANMALLOC_ALLOCATOR_PARAMS_SPAN_SHAPES_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_table.h"

namespace spanmalloc {

// A span of several objects is no longer than this: 256 KiB.
inline constexpr size_t kMaxSharedSpanPages = 32;
// That many of the smallest.
inline constexpr size_t kMaxObjectsPerSpan = kMaxSharedSpanPages * kPageSize / kMinAlignment;

// A span's descriptor has that many words for the bitmap of its free objects; of a span of more
// than so many pages, one of them is for its further parts that the kernel has.
inline constexpr size_t kShortBitmapWords = 3;
inline constexpr size_t kPagesOfFirstParts = 32 * kReleaseUnit / kPageSize;

struct SpanShape {
  uint32_t size;            // bytes of an object
  uint32_t reciprocal;      // ceil(2^32 / size): offset * reciprocal >> 32 is the object's index
  uint32_t fullness_scale;  // floor((2^32 - 1) / objects): times free objects, their share of 2^32
  uint16_t objects;         // objects in a span
  uint8_t pages;            // pages of a span
  bool long_bitmap;         // the bitmap of its free objects lies apart from its descriptor
};

namespace span_shapes_internal {

// Enough bytes of objects for a span, and enough objects. Of these sizes, which programs are full
// of, longer spans raise no peak where sizes are mixed; of their neighbours they do
// (docs/decisions/0052-long-spans-of-small-blocks.md).
constexpr size_t EnoughBytes(size_t size) {
  if (size <= 64 || size == 112) return 64 * 1024;
  if (size == 512) return 32 * 1024;
  return 16 * 1024;
}
inline constexpr size_t kEnoughObjects = 2048;

// The shortest span that holds enough objects and has little left over behind them: a 32nd at most,
// or, if that takes too long a span, the least share.
constexpr uint32_t PagesOfSpan(size_t size) {
  if (size > kMaxSharedSpanSize) return static_cast<uint32_t>(size / kPageSize);
  const size_t enough = size > 16384 ? 1 : std::min(EnoughBytes(size) / size, kEnoughObjects);
  uint32_t best = 0;
  for (uint32_t pages = 1; pages <= kMaxSharedSpanPages; ++pages) {
    const size_t objects = pages * kPageSize / size;
    if (objects < enough) continue;
    const size_t rest = pages * kPageSize - objects * size;
    if (rest * 32 <= objects * size) return pages;
    if (best == 0 || rest * best < (best * kPageSize % size) * pages) best = pages;
  }
  return best;
}

constexpr SpanShape MakeShape(size_t size, size_t pages) {
  SpanShape shape = {};
  shape.size = static_cast<uint32_t>(size);
  shape.reciprocal = static_cast<uint32_t>(((uint64_t{1} << 32) + size - 1) / size);
  shape.objects =
      size > kMaxSharedSpanSize ? uint16_t{1} : static_cast<uint16_t>(pages * kPageSize / size);
  shape.fullness_scale = UINT32_MAX / shape.objects;
  shape.pages = static_cast<uint8_t>(pages);
  const size_t words = pages > kPagesOfFirstParts ? kShortBitmapWords - 1 : kShortBitmapWords;
  shape.long_bitmap = shape.objects > words * 64;
  return shape;
}

using Table = std::array<SpanShape, kSizeClassEnd>;

constexpr Table MakeUsualTable() {
  Table table = {};
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const size_t size = kSizeClassTable[c].size;
    table[c] = MakeShape(size, PagesOfSpan(size));
  }
  return table;
}

extern __attribute__((visibility("hidden"))) Table table;

}  // namespace span_shapes_internal

// How spans of class `c` are cut.
inline const SpanShape& ShapeOf(size_t c) { return span_shapes_internal::table[c]; }

// Whether each object of class `c` has a span of its own. Cached, it is pages that no other class
// can have.
inline bool IsWholeSpan(size_t c) { return ShapeOf(c).objects == 1; }

// Whether `text` says how long spans are: `lowest-highest:pages`, several of these joined by `|`,
// or `default`.
bool IsSpanLengths(std::string_view text);

// Spans of classes from `lowest` to `highest` bytes, up to kMaxSharedSpanSize, are `pages` pages
// long from now on, or as close to that as can be: they hold one object at least, and
// kMaxSharedSpanPages at most. What `text` says last of a class counts; the others are as usual.
// Requires: IsSpanLengths(text), and there is no span yet.
void SetSpanLengths(std::string_view text);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PARAMS_SPAN_SHAPES_H_

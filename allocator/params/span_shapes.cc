// SPDX-License-Identifier: Apache-2.0
#include "allocator/params/span_shapes.h"

namespace spanmalloc {

constinit span_shapes_internal::Table span_shapes_internal::table = MakeUsualTable();

namespace {

struct Segment {
  size_t lowest;
  size_t highest;
  size_t pages;
};

// Takes a number and the character behind it off `*text`. False if they aren't there.
bool TakeNumber(std::string_view* text, char behind, size_t* number) {
  *number = 0;
  size_t digits = 0;
  for (; digits < text->size() && (*text)[digits] >= '0' && (*text)[digits] <= '9'; ++digits) {
    if (__builtin_mul_overflow(*number, size_t{10}, number) ||
        __builtin_add_overflow(*number, static_cast<size_t>((*text)[digits] - '0'), number)) {
      return false;
    }
  }
  if (digits == 0) return false;
  text->remove_prefix(digits);
  // Nothing need be behind the last.
  if (text->empty()) return behind == '|';
  if (text->front() != behind) return false;
  text->remove_prefix(1);
  return true;
}

bool TakeSegment(std::string_view* text, Segment* segment) {
  return TakeNumber(text, '-', &segment->lowest) && TakeNumber(text, ':', &segment->highest) &&
         TakeNumber(text, '|', &segment->pages);
}

// The length of spans for objects of `size` bytes that is closest to `pages`.
size_t PossiblePages(size_t size, size_t pages) {
  const size_t fewest = (size + kPageSize - 1) / kPageSize;
  return pages < fewest ? fewest : pages > kMaxSharedSpanPages ? kMaxSharedSpanPages : pages;
}

}  // namespace

bool IsSpanLengths(std::string_view text) {
  if (text == "default") return true;
  Segment segment;
  do {
    if (!TakeSegment(&text, &segment)) return false;
  } while (!text.empty());
  return true;
}

void SetSpanLengths(std::string_view text) {
  using span_shapes_internal::table;
  table = span_shapes_internal::MakeUsualTable();
  Segment segment;
  while (!text.empty() && TakeSegment(&text, &segment)) {
    for (SpanShape& shape : table) {
      const size_t size = shape.size;
      if (size == 0 || size > kMaxSharedSpanSize) continue;
      if (size < segment.lowest || size > segment.highest) continue;
      shape = span_shapes_internal::MakeShape(size, PossiblePages(size, segment.pages));
    }
  }
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// A huge page that is cut into spans: which of its 256 pages are in use, which may be resident,
// and which span each belongs to. Coalescing is implicit: free neighbours are neighbouring clear
// bits. Guarded by the page heap's lock, except `spans`, which is read without it by whoever holds
// a live block in the page.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_H_
#define SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/heap/span.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/util/bitmap.h"

namespace spanmalloc {

// Spans of objects that share them and spans of one block are packed apart, so that both kinds
// leave whole huge pages free more often; but before the heap grows, a span takes what room there
// is.
enum class SpanKind : uint8_t { kShared, kSingle };
inline constexpr size_t kSpanKinds = 2;

constexpr SpanKind Other(SpanKind kind) {
  return kind == SpanKind::kShared ? SpanKind::kSingle : SpanKind::kShared;
}

struct HugePage {
  size_t index;   // within the window
  SpanKind kind;  // of the spans that it was cut for
  bool advised;  // the kernel was asked for a huge page here, so that it may be resident throughout
  bool thinned;  // some of it was given back to the kernel since it was cut
  uint16_t used_pages;
  uint16_t longest_free;  // the longest run of free pages
  Bitmap<kPagesPerHugePage> used;
  // Written since the kernel last gave the page, perhaps. Those of spans are, but where a large
  // span may have grown since.
  Bitmap<kPagesPerHugePage> dirty;
  Bitmap<kPagesPerHugePage> released;  // free, and given back to the kernel not long ago
  uint64_t released_ms;                // when any of them last was; 0: none is
  HugePage* previous;
  HugePage* next;
  // The span that starts at each page; of spans of many objects, which are looked up by any of
  // them, the span that covers it.
  std::atomic<Span*> spans[kPagesPerHugePage];

  Span* SpanAt(size_t page) const { return spans[page].load(std::memory_order_relaxed); }

  // The span that may cover `page`: the last one that starts at or before it.
  Span* SpanBefore(size_t page) const {
    for (size_t i = page + 1; i-- > 0;) {
      Span* span = SpanAt(i);
      if (span != nullptr) return span;
    }
    return nullptr;
  }

  void SetSpans(size_t first, size_t count, Span* span) {
    for (size_t i = first; i < first + count; ++i) spans[i].store(span, std::memory_order_relaxed);
  }

  size_t FreePages() const { return kPagesPerHugePage - used_pages; }

  // The number of pages that are free and may be resident.
  size_t FreeDirtyPages() const {
    size_t count = 0;
    for (size_t w = 0; w < kPagesPerHugePage / 64; ++w) {
      count += static_cast<size_t>(absl::popcount(dirty.word(w) & ~used.word(w)));
    }
    return count;
  }
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_H_

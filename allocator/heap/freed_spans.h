// SPDX-License-Identifier: Apache-2.0
//
// Spans of one block that were freed last, kept as they are for the next request for as many pages.
// To everybody else their pages are free and dirty: when those are needed elsewhere, or are to go
// back to the kernel, all are dropped. Owned by the page heap, guarded by its lock.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_FREED_SPANS_H_
#define SPANMALLOC_ALLOCATOR_HEAP_FREED_SPANS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/heap/span.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/util/intrusive_list.h"

namespace spanmalloc {

class FreedSpans {
 public:
  constexpr FreedSpans() = default;

  // Longer spans aren't kept: 4 MiB.
  static constexpr size_t kMaxPages = 512;
  static constexpr size_t kMaxSpans = 64;

  bool full() const { return count_ == kMaxSpans; }
  size_t pages() const { return pages_; }

  // A span's pages and those of its reserve.
  static size_t Extent(const Span* span) { return size_t{span->pages} + span->reserve; }

  // Requires: not full, and the span's extent is at most kMaxPages.
  void Put(Span* span) {
    ListFor(Extent(span)).PushFront(span);
    ++count_;
    pages_ += Extent(span);
  }

  // The last kept span whose extent is `pages` pages and `huge_pages` whole huge pages, and which
  // lies at a multiple of `alignment` bytes; nullptr if there is none.
  Span* Take(size_t pages, size_t huge_pages, size_t alignment) {
    if (pages > kMaxPages) return nullptr;
    for (Span* span = ListFor(pages).front(); span != nullptr; span = span->next) {
      if (Extent(span) == pages && span->huge_pages == huge_pages && span->start % alignment == 0) {
        Remove(span);
        return span;
      }
    }
    return nullptr;
  }

  // Any kept span; nullptr if there is none.
  Span* TakeAny() {
    if (count_ == 0) return nullptr;
    for (SpanList& list : lists_) {
      if (Span* span = list.front(); span != nullptr) {
        Remove(span);
        return span;
      }
    }
    return nullptr;
  }

  // Whether the counts agree with the lists.
  bool CheckInvariants() const {
    size_t count = 0;
    size_t pages = 0;
    for (const SpanList& list : lists_) {
      for (const Span* span = list.front(); span != nullptr; span = span->next) {
        ++count;
        pages += Extent(span);
      }
    }
    return count == count_ && pages == pages_;
  }

 private:
  static constexpr size_t kLists = 32;

  // Powers of two, which programs like, are in lists of their own up to 16 times the shortest.
  SpanList& ListFor(size_t pages) { return lists_[(pages ^ pages / kLists) % kLists]; }

  void Remove(Span* span) {
    ListFor(Extent(span)).Remove(span);
    --count_;
    pages_ -= Extent(span);
  }

  SpanList lists_[kLists];
  size_t count_ = 0;
  size_t pages_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_FREED_SPANS_H_

// SPDX-License-Identifier: Apache-2.0
//
// Spans of one block that were freed last, kept as they are for the next request for as many pages.
// To everybody else their pages are free and dirty: when those are needed elsewhere, or are to go
// back to the kernel, all are dropped. Owned by the page heap, guarded by its lock.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_FREED_SPANS_H_
#define SPANMALLOC_ALLOCATOR_HEAP_FREED_SPANS_H_

#include <cstddef>
#include <cstdint>

#include "absl/numeric/bits.h"
#include "allocator/heap/span.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/util/intrusive_list.h"

namespace spanmalloc {

class FreedSpans {
 public:
  constexpr FreedSpans() = default;

  // Longer spans aren't kept: 4 MiB.
  static constexpr size_t kMaxPages = 512;
  static constexpr size_t kMaxSpans = 2048;
  // All of them together: up to 260 MiB.
  static constexpr size_t kEnoughPages = 64 * kMaxPages;

  // Whether a span of that extent is likely to be asked for: it was one of the last few.
  bool Expects(size_t pages) const {
    for (size_t asked : asked_) {
      if (asked == pages) return true;
    }
    return false;
  }

  bool full() const { return count_ == kMaxSpans || pages_ >= kEnoughPages; }
  size_t pages() const { return pages_; }

  // A span's pages and those of its reserve.
  static size_t Extent(const Span* span) { return size_t{span->pages} + span->reserve; }

  // Requires: not full, and the span's extent is at most kMaxPages.
  void Put(Span* span) {
    const size_t list = ListOf(Extent(span));
    lists_[list].PushFront(span);
    nonempty_ |= 1u << list;
    ++count_;
    pages_ += Extent(span);
  }

  // The last kept span whose extent is `pages` pages and `huge_pages` whole huge pages, and which
  // lies at a multiple of `alignment` bytes; nullptr if there is none.
  Span* Take(size_t pages, size_t huge_pages, size_t alignment) {
    if (!Expects(pages)) asked_[next_asked_++ % kAsked] = pages;
    Span* span = lists_[ListOf(pages)].front();
    for (size_t i = 0; i < kSearched && span != nullptr; ++i, span = span->next) {
      if (Extent(span) == pages && span->huge_pages == huge_pages && span->start % alignment == 0) {
        Remove(span);
        return span;
      }
    }
    return nullptr;
  }

  bool empty() const { return nonempty_ == 0; }

  // Any kept span; nullptr if there is none.
  Span* TakeAny() {
    if (nonempty_ == 0) return nullptr;
    Span* span = lists_[absl::countr_zero(nonempty_)].front();
    Remove(span);
    return span;
  }

  // Calls visit(pages) for the extent of every kept span.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const SpanList& list : lists_) {
      for (const Span* span = list.front(); span != nullptr; span = span->next) visit(Extent(span));
    }
  }

  // Whether the counts agree with the lists.
  bool CheckInvariants() const {
    size_t count = 0;
    size_t pages = 0;
    for (size_t list = 0; list < kLists; ++list) {
      if (lists_[list].empty() == ((nonempty_ >> list & 1) != 0)) return false;
      for (const Span* span = lists_[list].front(); span != nullptr; span = span->next) {
        ++count;
        pages += Extent(span);
      }
    }
    return count == count_ && pages == pages_;
  }

 private:
  static constexpr size_t kLists = 32;
  static constexpr size_t kAsked = 4;
  static constexpr size_t kSearched = 32;  // of a list, which may have other lengths

  // Powers of two, which programs like, are in lists of their own up to 16 times the shortest.
  static size_t ListOf(size_t pages) { return (pages ^ pages / kLists) % kLists; }

  void Remove(Span* span) {
    const size_t list = ListOf(Extent(span));
    lists_[list].Remove(span);
    if (lists_[list].empty()) nonempty_ &= ~(1u << list);
    --count_;
    pages_ -= Extent(span);
  }

  SpanList lists_[kLists];
  uint32_t nonempty_ = 0;      // a bit for each list
  size_t asked_[kAsked] = {};  // the last different extents
  size_t next_asked_ = 0;
  size_t count_ = 0;
  size_t pages_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_FREED_SPANS_H_

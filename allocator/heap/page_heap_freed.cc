// SPDX-License-Identifier: Apache-2.0
//
// Freed spans of one block, kept for the next request for as many pages.
#include "allocator/heap/page_heap.h"

namespace spanmalloc {

// Takes back a span of one block, and keeps it if another like it is likely to be wanted. Until it
// is dropped no block is found there, and its pages, some of its reserve perhaps clean, count as
// free and dirty.
void PageHeap::KeepFreed(Span* span) {
  ForgetObjects(span);
  const size_t pages = FreedSpans::Extent(span);
  const bool grown = span->state == SpanState::kLarge && span->grower != nullptr;
  if (span->moved || pages > FreedSpans::kMaxPages || freed_.full() ||
      !(grown || freed_.Expects(pages))) {
    return RemoveSpan(span);
  }
  if (span->huge_pages != 0) {
    advice_.OnFree(span);
    page_map_.ClearDirectory(HugePageIndex(span->start), span->huge_pages);
  } else {
    HugePage* huge_page = HugePageOf(span);
    huge_page->SetSpans(FirstPage(span), 1, nullptr);
    NoteWritten(huge_page, span);
    if (grown) freed_grown_pages_ = pages;
  }
  used_pages_ -= pages;
  freed_.Put(span);
}

// A kept span of so many pages, of which `written` are going to be written to and the rest are its
// reserve. If there is none, some are dropped, mostly all there are, and nullptr: they are kept for
// a program that wants the same again, and nobody else shall have to go round their pages.
Span* PageHeap::ReuseFreed(size_t pages, size_t written, size_t huge_pages, size_t alignment) {
  Span* span = freed_.Take(pages, huge_pages, alignment);
  if (span == nullptr) {
    DropFreed(kDroppedAtOnce);
    return nullptr;
  }
  const uintptr_t start = span->start;
  const bool all_dirty = span->reserve == 0;
  new (span) Span();
  span->start = start;
  span->pages = static_cast<uint32_t>(written);
  span->reserve = static_cast<uint32_t>(pages - written);
  span->huge_pages = static_cast<uint32_t>(huge_pages);
  used_pages_ += pages;
  if (huge_pages != 0) {
    page_map_.SetLargeSpan(HugePageIndex(start), huge_pages, span);
  } else {
    HugePage* huge_page = HugePageOf(span);
    const size_t first = FirstPage(span);
    if (!all_dirty) huge_page->dirty.SetRange(first, written);
    huge_page->SetSpans(first, 1, span);
  }
  return span;
}

bool PageHeap::DropKept(size_t most) {
  bool any = false;
  for (size_t i = 0; i < most; ++i) {
    Span* span = freed_.TakeAny();
    if (span == nullptr) break;
    used_pages_ += FreedSpans::Extent(span);
    RemoveSpan(span);
    any = true;
  }
  return any;
}

}  // namespace spanmalloc

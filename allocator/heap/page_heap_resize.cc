// SPDX-License-Identifier: Apache-2.0
//
// Large spans that grow, shrink and move.
#include "allocator/heap/page_heap.h"

namespace spanmalloc {

// A span with a reserve goes where the last one that was freed had its room. Without such a place,
// it goes where there is most room to grow, not where it fits best.
Span* PageHeap::AllocateWithReserve(size_t pages) {
  const size_t last = freed_grown_pages_ < pages ? pages : freed_grown_pages_;
  Span* span = ReuseFreed(last, pages, 0, kPageSize);
  if (span != nullptr) return span;
  size_t wish = pages * kReserveFactor;
  if (wish > kPagesPerHugePage) wish = kPagesPerHugePage;
  if (!MayUse(wish)) return nullptr;
  HugePage* huge_page = fillers_[static_cast<size_t>(SpanKind::kSingle)].Roomiest();
  if (huge_page == nullptr || huge_page->longest_free < wish) {
    HugePage* roomier = FindInHugePage(wish, SpanKind::kSingle, AtPeak::kGrow);
    if (roomier != nullptr) huge_page = roomier;
  }
  if (huge_page == nullptr || huge_page->longest_free < pages) return nullptr;
  const size_t count = wish < huge_page->longest_free ? wish : huge_page->longest_free;
  return PlaceSpan(huge_page, huge_page->used.FindClearRun(count), pages, count - pages,
                   SpanKind::kSingle);
}

Span* PageHeap::AllocateGrowing(size_t pages, const void* grower) {
  if (pages >= kPagesPerHugePage) return AllocateLarge(pages, 1);
  os::LockHolder hold(lock_);
  Span* span = AllocateWithReserve(pages);
  if (span == nullptr) return nullptr;
  span->grower = grower;
  NoteLarge(span);
  return span;
}

// Enters in the statistics how often a span grew into its reserve, and by how much it has grown in
// any way.
void PageHeap::NoteGrowths(Span* span) {
  totals_.grown_in_place += span->unlocked_growths;
  totals_.grown_pages += span->pages - span->noted_pages;
  span->unlocked_growths = 0;
  NoteExtent(span);
}

// Counts a span whose extent has changed in its class.
void PageHeap::NoteExtent(Span* span) {
  if (span->noted_pages == span->pages) return;
  LargeClassStats& before = LargeClass(span->noted_pages);
  LargeClassStats& now = LargeClass(span->pages);
  if (&before != &now) {
    ++before.freed;
    ++now.made;
  }
  span->noted_pages = span->pages;
}

// Grows a span inside its huge page; with a grower, as far as may be, to have a reserve again.
bool PageHeap::GrowInHugePage(Span* span, size_t pages, const void* grower) {
  const size_t extent = FreedSpans::Extent(span);
  if (pages > extent && !MayUse(pages - extent)) return false;
  // No reserve where it might be refused.
  const bool keeps = grower != nullptr && MayUse(kPagesPerHugePage);
  // While MayUse released pages, a grower before this one may have returned the reserve.
  const size_t held = FreedSpans::Extent(span);
  HugePage* huge_page = HugePageOf(span);
  const size_t first = FirstPage(span);
  size_t wish = first + pages * (keeps ? kReserveFactor : 1);
  if (wish > kPagesPerHugePage) wish = kPagesPerHugePage;
  const size_t room = huge_page->used.FindSet(first + held);
  if (first + pages > room) return false;
  if (wish < first + held) wish = first + held;
  const size_t end = wish < room ? wish : room;
  if (huge_page->released_ms != 0) NoteReuse(huge_page, first + held, end - (first + held));
  UsePages(huge_page, first + held, end - (first + held), 0);
  // What is written to is dirty from here on; the rest as it was.
  huge_page->dirty.SetRange(first, pages);
  span->reserve = static_cast<uint32_t>(end - first - pages);
  span->grower = grower;
  large_pages_ += end - (first + held);
  return true;
}

// Grows a span of whole huge pages.
bool PageHeap::GrowHugeRun(Span* span, size_t pages) {
  if (!HoldLimits(pages - span->pages)) return false;
  const size_t need = HugePagesFor(pages);
  if (need > span->huge_pages) {
    const size_t end = HugePageIndex(span->start) + span->huge_pages;
    const size_t count = need - span->huge_pages;
    const HugeRun run = pool_.TakeAt(end, count);
    if (run.count == 0) return false;
    if (run.released != 0) NoteReusedRun(run, pages - span->pages);
    page_map_.SetLargeSpan(end, count, span);
    span->huge_pages = static_cast<uint32_t>(need);
  }
  used_pages_ += pages - span->pages;
  large_pages_ += pages - span->pages;
  NotePeak();
  return true;
}

bool PageHeap::GrowLarge(Span* span, size_t pages, const void* grower) {
  os::LockHolder hold(lock_);
  const auto grow = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return span->huge_pages == 0 ? GrowInHugePage(span, pages, grower) : GrowHugeRun(span, pages);
  };
  if (!grow() && !(DropFreed() && grow())) return false;
  span->pages = static_cast<uint32_t>(pages);
  ++totals_.grown_in_place;
  NoteGrowths(span);
  return true;
}

void PageHeap::ReturnReserve(const void* block, const void* grower) {
  Span* span = page_map_.SpanAt(block);
  if (span == nullptr || span->grower != grower) return;
  os::LockHolder hold(lock_);
  // Looked up again under the lock: the block may have been freed since.
  span = LargeSpanOf(block);
  if (span != nullptr && span->state == SpanState::kLarge && span->grower == grower) {
    ShrinkInHugePage(span, span->pages);
  }
}

// Returns a span's reserve, and its pages beyond `pages`.
void PageHeap::ShrinkInHugePage(Span* span, size_t pages) {
  HugePage* huge_page = HugePageOf(span);
  const size_t first = FirstPage(span);
  const size_t fewer = span->pages + span->reserve - pages;
  NoteGrowths(span);
  huge_page->dirty.SetRange(first, span->pages);
  const size_t dirty = huge_page->dirty.CountRange(first + pages, fewer);
  span->pages = static_cast<uint32_t>(pages);
  NoteExtent(span);
  span->reserve = 0;
  span->grower = nullptr;
  FreePages(huge_page, first + pages, fewer, dirty);
  large_pages_ -= fewer;
}

void PageHeap::ShrinkLarge(Span* span, size_t pages) {
  os::LockHolder hold(lock_);
  if (span->huge_pages == 0) return ShrinkInHugePage(span, pages);
  const size_t fewer = span->pages - pages;
  const size_t need = HugePagesFor(pages);
  const size_t begin = HugePageIndex(span->start) + need;
  const size_t count = span->huge_pages - need;
  const size_t slack_end =
      count == 0 && span->pages < need * kPagesPerHugePage ? span->pages : need * kPagesPerHugePage;
  span->pages = static_cast<uint32_t>(pages);
  NoteExtent(span);
  span->huge_pages = static_cast<uint32_t>(need);
  used_pages_ -= fewer;
  large_pages_ -= fewer;
  advice_.Forget(span);
  if (count != 0) FreeHugePages(begin, count, span->moved);
  // The tail of the last huge page stays the span's own address space, but not its memory.
  const size_t tail = RoundUp(pages, PagesPerSystemPage());
  if (slack_end < tail + kMinReleaseRun || hooked()) return;
  const size_t bytes = (RoundUp(slack_end, PagesPerSystemPage()) - tail) * kPageSize;
  if (pool_.IsAdvised(begin - 1, 1)) pool_.AdviseAgainst(begin - 1);
  ++totals_.release_calls;
  if (memory_.Release(reinterpret_cast<void*>(span->start + tail * kPageSize), bytes)) {
    released_bytes_ += bytes;
  }
}

// Pages that are moved bring with them what was asked for where they were.
void PageHeap::MoveAdvice(const Span* from, const Span* to) {
  const size_t source = HugePageIndex(from->start);
  const size_t target = HugePageIndex(to->start);
  const size_t count = HugePageIndex(from->start + from->bytes() - 1) - source + 1;
  if (!pool_.IsAdvised(source, count)) return;
  pool_.NoteAdvised(target, HugePageIndex(to->start + from->bytes() - 1) - target + 1);
  if (to->huge_pages == 0) HugePageOf(to)->advised = true;
}

bool PageHeap::MoveLarge(Span* from, Span* to) {
  os::LockHolder hold(lock_);
  if (hooked() || (!to->moved && (moved_mappings_ >= kMaxMovedMappings ||
                                  memory_.splits() + 2 > os::VirtualMemory::kMaxSplits))) {
    return false;
  }
  // What lies behind a span in its last huge page is its own.
  const bool runs = from->huge_pages != 0 && to->huge_pages != 0;
  const size_t bytes = runs ? RoundUp(from->bytes(), memory_.PageSize()) : from->bytes();
  if (!IsWhole(from->start | to->start, bytes)) return false;
  if (from->reserve != 0) ShrinkInHugePage(from, from->pages);
  void* source = reinterpret_cast<void*>(from->start);
  advice_.Forget(from);
  advice_.Forget(to);
  if (!memory_.Move(source, reinterpret_cast<void*>(to->start), bytes)) return false;
  MoveAdvice(from, to);
  if (!to->moved) NoteMoved(1);
  to->moved = true;
  if (bytes > from->bytes()) to->zeroed = false;
  if (from->moved) NoteMoved(-1);
  from->moved = false;
  ++totals_.remapped;
  totals_.remapped_pages += from->pages;
  if (memory_.MapAt(source, bytes)) return true;
  // The kernel took the pages and refuses fresh ones for the place they were at, so the span can
  // never be handed out again. Whole huge pages become a hole; pages of a cut huge page stay in
  // use for ever, by nobody.
  if (from->state == SpanState::kLarge) {
    --large_spans_;
    ++totals_.large_freed;
    ++LargeClass(from->noted_pages).freed;
    large_pages_ -= from->pages;
  } else {
    page_map_.SetClasses(from->start, from->pages, kNoSizeClass);
  }
  if (from->huge_pages != 0) {
    const size_t index = HugePageIndex(from->start);
    // What moved is unmapped, or somebody else's by now; the run's tail is still ours.
    const size_t tail = (size_t{from->huge_pages} << kHugePageShift) - bytes;
    if (tail != 0) memory_.Unmap(static_cast<char*>(source) + bytes, tail);
    page_map_.ClearDirectory(index, from->huge_pages);
    pool_.PutUnmapped(index, from->huge_pages);
    used_pages_ -= from->pages;
  } else {
    HugePageOf(from)->SetSpans(FirstPage(from), 1, nullptr);
  }
  DeleteSpan(from);
  return true;
}

}  // namespace spanmalloc

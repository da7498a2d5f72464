// SPDX-License-Identifier: Apache-2.0
//
// Page heaps of explicit arenas: over whole huge pages that another heap lends, and emptied at
// once.
#include "absl/numeric/bits.h"
#include "allocator/heap/page_heap.h"
#include "allocator/os/thread.h"

namespace spanmalloc {

bool PageHeap::InitOver(HugePageSource* source, uintptr_t block) {
  os::LockHolder hold(lock_);
  pool_maps_ = static_cast<HugePagePool::Maps*>(memory_.Map(sizeof(HugePagePool::Maps)));
  if (pool_maps_ == nullptr) return false;
  pool_.InitOver(source, block, pool_maps_);
  policy_.SetFloor(0);
  return true;
}

HugeRun PageHeap::Lend(size_t count, size_t alignment) {
  os::LockHolder hold(lock_);
  if (pool_.dirty() == 0) DropFreed();
  return pool_.Lend(count, alignment);
}

HugeRun PageHeap::LendAt(size_t index, size_t count) {
  os::LockHolder hold(lock_);
  return pool_.LendAt(index, count);
}

void PageHeap::TakeBack(const HugeRun& run) {
  os::LockHolder hold(lock_);
  pool_.PutLent(run);
}

// Another thread's maintenance may be giving free pages of the heap back, without the lock.
void PageHeap::WaitForReleases() {
  while (releasing_ != 0) {
    lock_.Unlock();
    os::Yield();
    lock_.Lock();
  }
}

// Forgets a span whose pages are about to go with their huge page.
void PageHeap::DropSpan(Span* span) {
  if (span->state == SpanState::kLarge) {
    NoteGrowths(span);
    large_pages_ -= span->pages + span->reserve;
    --large_spans_;
    ++totals_.large_freed;
    ++LargeClass(span->pages).freed;
    used_pages_ -= span->pages + span->reserve;
    advice_.Forget(span);
  } else {
    used_pages_ -= span->pages;
  }
  // Its mapping can't merge with its neighbours'.
  if (span->moved && IsWhole(span->start, span->bytes()) &&
      memory_.MapOver(reinterpret_cast<void*>(span->start), span->bytes())) {
    NoteMoved(-1);
  }
  DeleteSpan(span);
}

void PageHeap::DropCut(HugePage* huge_page) {
  FillerOf(huge_page).Remove(huge_page);
  const size_t free_dirty = huge_page->FreeDirtyPages();
  const bool dirty = free_dirty != 0 || huge_page->used_pages != 0;
  dirty_in_cut_ -= free_dirty;
  for (size_t page = 0; page < kPagesPerHugePage;) {
    Span* span = huge_page->SpanAt(page);
    if (span == nullptr) {
      ++page;
      continue;
    }
    if (span->size_class != kNoSizeClass) {
      released_parts_ -= static_cast<size_t>(absl::popcount(span->Released()));
      ForgetObjects(span);
    }
    page += FreedSpans::Extent(span);
    DropSpan(span);
  }
  page_map_.ClearDirectory(huge_page->index, 1);
  pool_.Put(huge_page->index, 1, dirty);
  metadata_.Delete(huge_page);
  --cut_;
}

void PageHeap::FreeAll() {
  os::LockHolder hold(lock_);
  WaitForReleases();
  DropFreed();
  for (HugePage*& spare : spares_) spare = nullptr;
  for (HugePageFiller& filler : fillers_) {
    while (HugePage* huge_page = filler.Roomiest()) DropCut(huge_page);
  }
  // What is held now are large spans of whole huge pages.
  const auto [first, end] = pool_.indices();
  for (size_t index = pool_.NextHeld(first); index < end; index = pool_.NextHeld(index)) {
    Span* span = page_map_.SpanOf(pool_.AddressOf(index));
    if (span == nullptr) {  // lost at a fork
      ++index;
      continue;
    }
    const size_t count = span->huge_pages;
    page_map_.ClearDirectory(index, count);
    DropSpan(span);
    pool_.Put(index, count, /*dirty=*/true);
  }
  if (policy_.decay_ms() == 0 && !hooked()) ReleaseHugePages(~size_t{0}, kMaxReleaseBatch);
  WaitForReleases();
  pool_.ReturnFree();
  UpdateUnwatched();
}

void PageHeap::BeginAnew() {
  os::LockHolder hold(lock_);
  totals_ = {};
  for (LargeClassStats& large : large_classes_) large = {};
  released_bytes_ = 0;
  copied_.store(0, std::memory_order_relaxed);
  copied_bytes_.store(0, std::memory_order_relaxed);
  peak_resident_.store(0, std::memory_order_relaxed);
  peak_at_growth_ = 0;
  peak_at_release_ = 0;
  peak_at_ask_ = 0;
  resident_at_return_ = 0;
  hooked_.store(false, std::memory_order_relaxed);
  UpdateUnwatched();
}

void PageHeap::SetHooked() {
  os::LockHolder hold(lock_);
  hooked_.store(true, std::memory_order_relaxed);
  advice_.SetWish(HugePageWish::kNever);
  notice_pages_ = refuse_pages_ = kNoLimit;
  refuses_.store(false, std::memory_order_relaxed);
  UpdateUnwatched();
}

// Nothing is kept for the next request, as in DropSpares, nor for the sake of what is clean.
void PageHeap::UncutEmpty() {
  DropSpares();
  for (HugePageFiller& filler : fillers_) {
    HugePage* huge_page = filler.Roomiest();
    while (huge_page != nullptr && huge_page->used_pages == 0) {
      Uncut(huge_page);
      huge_page = filler.Roomiest();
    }
  }
}

void PageHeap::EnterForeign(const HugeRun& run) {
  os::LockHolder hold(lock_);
  pool_.PutForeign(run);
}

HugeRun PageHeap::TakeForeign(size_t* cursor, ForeignPart part) {
  os::LockHolder hold(lock_);
  if (*cursor == 0) UncutEmpty();
  return pool_.TakeForeign(cursor, part);
}

// What is kept for the next request is free.
size_t PageHeap::FindAdjoining(size_t from, size_t count, size_t alignment) {
  os::LockHolder hold(lock_);
  if (from == 0) UncutEmpty();
  return pool_.FindAdjoining(from, count, alignment);
}

bool PageHeap::AdjoinsFree(size_t index, size_t count) {
  os::LockHolder hold(lock_);
  return pool_.AdjoinsFree(index, count);
}

size_t PageHeap::ExcessPages(uint64_t now_ms) {
  os::LockHolder hold(lock_);
  policy_.Note(used_pages_, now_ms);
  return policy_.Excess(used_pages_, DirtyPages());
}

}  // namespace spanmalloc

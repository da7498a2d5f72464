// SPDX-License-Identifier: Apache-2.0
//
// The runs of free pages, counted huge page by huge page. The lock is held for one at a time; what
// others do to the heap meanwhile may be counted or not.
#include "allocator/heap/page_heap.h"

namespace spanmalloc {
namespace {

// Adds the free pages of a huge page that is cut, run by run of those that may be resident or not.
void AddCut(const HugePage& huge_page, FreeExtents* extents) {
  size_t length = 0;
  bool dirty = false;
  for (size_t page = 0; page <= kPagesPerHugePage; ++page) {
    const bool free = page < kPagesPerHugePage && !huge_page.used.Get(page);
    const bool dirty_here = free && huge_page.dirty.Get(page);
    if (length != 0 && (!free || dirty_here != dirty)) {
      extents->Add(length * kPageSize, dirty);
      length = 0;
    }
    dirty = dirty_here;
    length += free;
  }
}

}  // namespace

void PageHeap::AddFreeExtents(FreeExtents* extents) {
  HugePagePool::Indices all;
  {
    os::LockHolder hold(lock_);
    freed_.ForEach([extents](size_t pages) { extents->Add(pages * kPageSize, /*dirty=*/true); });
    all = pool_.indices();
  }
  size_t length = 0;  // of a run of whole huge pages
  bool dirty = false;
  for (size_t index = all.first; index < all.end; ++index) {
    os::LockHolder hold(lock_);
    const bool free = pool_.IsMapped(index) && pool_.IsFree(index);
    const bool dirty_here = free && pool_.IsDirty(index);
    if (length != 0 && (!free || dirty_here != dirty)) {
      extents->Add(length << kHugePageShift, dirty);
      length = 0;
    }
    dirty = dirty_here;
    length += free;
    const HugePage* huge_page = free ? nullptr : OwnHugePageAt(index);
    if (huge_page != nullptr) AddCut(*huge_page, extents);
  }
  extents->Add(length << kHugePageShift, dirty);
}

}  // namespace spanmalloc

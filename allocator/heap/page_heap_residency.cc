// SPDX-License-Identifier: Apache-2.0
//
// What of the heap is resident, asked of the kernel huge page by huge page. The lock is held only
// to look up what a huge page holds; what others do to it meanwhile may be counted or not.
#include "allocator/heap/page_heap.h"

namespace spanmalloc {

// What one huge page of the window holds.
struct PageHeap::HugePageUse {
  bool mapped;
  bool cut;
  bool large;  // not cut: covered by a large span
  char* start;
  // Cut: pages in spans, and those of them that are in spans of size classes.
  Bitmap<kPagesPerHugePage> used;
  Bitmap<kPagesPerHugePage> small;
};

PageHeap::HugePageUse PageHeap::UseOf(size_t index) {
  os::LockHolder hold(lock_);
  HugePageUse use = {};
  use.mapped = pool_.IsMapped(index);
  if (!use.mapped) return use;
  use.start = static_cast<char*>(pool_.AddressOf(index));
  const HugePage* huge_page = page_map_.HugePageAt(index);
  use.cut = huge_page != nullptr;
  if (!use.cut) {
    use.large = !pool_.IsFree(index);
    return use;
  }
  use.used = huge_page->used;
  // A freed span that is kept has no entry: it counts as the one before it.
  const Span* last = nullptr;
  for (size_t page = 0; page < kPagesPerHugePage; ++page) {
    if (const Span* span = huge_page->SpanAt(page)) last = span;
    if (last != nullptr && last->size_class != kNoSizeClass && use.used.Get(page)) {
      use.small.Set(page);
    }
  }
  return use;
}

// Adds what is resident of a huge page that is cut, run by run of pages of one use. Of a larger
// page of the system that is what its first page in use is used for.
void PageHeap::AddResident(const HugePageUse& use, PageHeapResidency* residency) {
  const size_t unit = PagesPerSystemPage();
  const auto counter = [&](size_t page) {
    const size_t used = use.used.FindSet(page);
    if (used >= page + unit) return &residency->free;
    return use.small.Get(used) ? &residency->small : &residency->large;
  };
  size_t first = 0;
  size_t* into = counter(0);
  for (size_t page = unit; page <= kPagesPerHugePage; page += unit) {
    size_t* next = page == kPagesPerHugePage ? nullptr : counter(page);
    if (next == into) continue;
    *into += memory_.Resident(use.start + first * kPageSize, (page - first) * kPageSize);
    first = page;
    into = next;
  }
}

PageHeapResidency PageHeap::MeasureResidency() {
  PageHeapResidency residency = {};
  HugePagePool::Indices all;
  {
    os::LockHolder hold(lock_);
    DropFreed();
    all = pool_.indices();
    residency.tables =
        page_map_.ResidentBytes(all.first, pool_.covered_end()) +
        (pool_maps_ == nullptr ? 0 : memory_.Resident(pool_maps_, sizeof(*pool_maps_)));
  }
  for (size_t index = all.first; index < all.end; ++index) {
    const HugePageUse use = UseOf(index);
    if (use.cut) {
      AddResident(use, &residency);
    } else if (use.mapped) {
      (use.large ? residency.large : residency.free) += memory_.Resident(use.start, kHugePageSize);
    }
  }
  return residency;
}

}  // namespace spanmalloc

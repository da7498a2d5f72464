// SPDX-License-Identifier: Apache-2.0
//
// The heap's huge pages, counted one by one. The lock is held for one at a time; what others do to
// the heap meanwhile may be counted or not. The kernel is asked about runs of them.
#include "allocator/heap/page_heap.h"
#include "allocator/os/process_memory.h"

namespace spanmalloc {

// Counts a huge page. Its address; nullptr if it isn't mapped, or another heap's.
const char* PageHeap::CountHugePage(size_t index, HugePageCounts* counts) {
  os::LockHolder hold(lock_);
  if (!pool_.IsMapped(index)) return nullptr;
  ++counts->mapped;
  counts->advised += pool_.IsAdvised(index, 1);
  if (const HugePage* huge_page = page_map_.HugePageAt(index)) {
    counts->AddCut(huge_page->used_pages);
  } else {
    ++(pool_.IsFree(index) ? counts->free : counts->large);
  }
  return static_cast<const char*>(pool_.AddressOf(index));
}

void PageHeap::AddHugePages(HugePageCounts* counts) {
  HugePagePool::Indices all;
  {
    os::LockHolder hold(lock_);
    DropFreed();
    all = pool_.indices();
  }
  const char* run = nullptr;
  const char* run_end = nullptr;
  for (size_t index = all.first; index < all.end; ++index) {
    const char* start = CountHugePage(index, counts);
    if (start == nullptr) continue;
    if (start != run_end) {
      counts->backed_bytes += os::HugeBytes(run, run_end);
      run = start;
    }
    run_end = start + kHugePageSize;
  }
  counts->backed_bytes += os::HugeBytes(run, run_end);
}

}  // namespace spanmalloc

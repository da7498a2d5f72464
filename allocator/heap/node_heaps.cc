// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/node_heaps.h"

#include <new>

#include "absl/numeric/bits.h"

namespace spanmalloc {

bool NodeHeaps::Init(uintptr_t base, uintptr_t limit, uint32_t nodes) {
  begin_ = HugePageIndex(base);
  parts_ = nodes;
  part_huge_pages_ = ((limit - base) >> kHugePageShift) / nodes;
  node_bits_.store(static_cast<uint32_t>(absl::bit_width(nodes - 1)), std::memory_order_relaxed);
  several_.store(nodes > 1, std::memory_order_relaxed);
  {
    os::LockHolder hold(making_);
    ApplyDirtyLimit(first_);
  }
  return first_.Init(base, nodes == 1 ? limit : base + (part_huge_pages_ << kHugePageShift));
}

PageHeap& NodeHeaps::Make(uint32_t node) {
  os::LockHolder hold(making_);
  if (PageHeap* made = At(node)) return *made;
  if (unplaced_ == nullptr) {
    void* memory = first_.metadata().Allocate(sizeof(PageHeap));
    if (memory == nullptr) return first_;
    unplaced_ = new (memory) PageHeap(first_);
  }
  const uintptr_t part_bytes = part_huge_pages_ << kHugePageShift;
  const uintptr_t base = first_.base() + node * part_bytes;
  if (!unplaced_->Init(base, base + part_bytes)) return first_;
  PageHeap* heap = unplaced_;
  unplaced_ = nullptr;
  heap->SetDecay(first_.DecayMs());
  heap->SetHugePageWish(wish_);
  ApplyDirtyLimit(*heap);
  // Release: pairs with the acquire in At.
  further_[node - 1].store(heap, std::memory_order_release);
  ShareLimits(nullptr);
  return *heap;
}

size_t NodeHeaps::heaps() const {
  size_t count = 1;
  for (const auto& heap : further_) count += heap.load(std::memory_order_relaxed) != nullptr;
  return count;
}

size_t NodeHeaps::Release(size_t pages, size_t* resident) {
  size_t released = 0;
  ForEachOwn([&](PageHeap& heap) {
    if (released < pages) released += heap.Release(pages - released, resident);
  });
  return released;
}

size_t NodeHeaps::ReleaseNodes(size_t pages, size_t* resident) {
  size_t released = 0;
  ForEachNode([&](PageHeap& heap) {
    if (released < pages) released += heap.Release(pages - released, resident);
  });
  return released;
}

void NodeHeaps::SetDecay(int64_t ms) {
  os::LockHolder hold(making_);
  ForEachNode([ms](PageHeap& heap) { heap.SetDecay(ms); });
}

void NodeHeaps::SetDirtyLimit(size_t bytes, size_t percent) {
  os::LockHolder hold(making_);
  dirty_bytes_ = bytes;
  dirty_percent_ = percent;
  ForEachOwn([this](PageHeap& heap) ABSL_NO_THREAD_SAFETY_ANALYSIS { ApplyDirtyLimit(heap); });
}

void NodeHeaps::SetHugePageWish(HugePageWish wish) {
  os::LockHolder hold(making_);
  wish_ = wish;
  ForEachOwn([wish](PageHeap& heap) { heap.SetHugePageWish(wish); });
}

HeapGrowth NodeHeaps::TakeGrowth() {
  HeapGrowth all;
  ForEach([&all](PageHeap& heap) {
    const HeapGrowth growth = heap.TakeGrowth();
    all.much = all.much || growth.much;
    all.pages += growth.pages;
  });
  return all;
}

size_t NodeHeaps::HeldPages() {
  size_t held = 0;
  ForEachOwn([&held](PageHeap& heap) { held += heap.HeldPages(); });
  return held;
}

size_t NodeHeaps::FreeDirtyPages() {
  size_t free = 0;
  ForEachOwn([&free](PageHeap& heap) { free += heap.FreeDirtyPages(); });
  return free;
}

void NodeHeaps::SetLimits(size_t notice, size_t refuse) {
  os::LockHolder hold(making_);
  notice_pages_ = notice;
  refuse_pages_ = refuse;
  ShareLimits(nullptr);
}

// What may be held beyond what is held now goes to the favoured heap, or to all in equal parts.
void NodeHeaps::ShareLimits(const PageHeap* favoured) {
  if (Several()) return ShareLimitsOfSeveral(favoured);
  first_.SetLimits(notice_pages_, refuse_pages_);
}

void NodeHeaps::ShareLimitsOfSeveral(const PageHeap* favoured) {
  size_t count = 0;
  size_t sum = 0;
  ForEachOwn([&](PageHeap& heap) {
    sum += heap.HeldPages();
    ++count;
  });
  const auto room_in = [sum](size_t limit) { return limit > sum ? limit - sum : 0; };
  const size_t notice = notice_pages_;
  const size_t refuse = refuse_pages_;
  ForEachOwn([&](PageHeap& heap) {
    const size_t parts = favoured == nullptr ? count : favoured == &heap ? 1 : ~size_t{0};
    const size_t held = count == 1 ? sum : heap.HeldPages();
    const auto share_of = [&](size_t limit) {
      if (limit == PageHeap::kNoLimit || count == 1) return limit;
      return held + room_in(limit) / parts;
    };
    heap.SetLimits(share_of(notice), share_of(refuse));
  });
}

// Whether something was refused only because other heaps have the room for it.
bool NodeHeaps::GiveRoomTo(PageHeap& heap) {
  if (heap.hooked()) return false;
  os::LockHolder hold(making_);
  if (refuse_pages_ == PageHeap::kNoLimit) return false;
  ShareLimits(&heap);
  return true;
}

bool NodeHeaps::RefusesForLimit(size_t pages) {
  if (!Several()) return first_.RefusesForLimit(pages);
  os::LockHolder hold(making_);
  size_t used = pages;
  ForEachOwn([&used](PageHeap& heap) { used += heap.UsedPages(); });
  return used > refuse_pages_;
}

bool NodeHeaps::ReclaimForRetry() {
  bool any = false;
  ForEachOwn([&any](PageHeap& heap) { any |= heap.ReclaimForRetry(); });
  return any;
}

bool NodeHeaps::HasAddressesFor(size_t pages, size_t alignment) const {
  const size_t count = HugePagesFor(pages);
  const size_t multiple = alignment > kHugePageSize ? alignment : kHugePageSize;
  for (uint32_t part = 0; part < parts_; ++part) {
    const uintptr_t base = first_.base() + part * (part_huge_pages_ << kHugePageShift);
    const size_t before = (RoundUp(base, multiple) - base) >> kHugePageShift;
    if (before < part_huge_pages_ && count <= part_huge_pages_ - before) return true;
  }
  return false;
}

PageHeapStats NodeHeaps::Stats() {
  PageHeapStats sum = {};
  ForEach([&sum](PageHeap& heap) { sum.Add(heap.Stats()); });
  return sum;
}

PageHeapStats NodeHeaps::NodeStats(LargeClassStats* large_classes) {
  PageHeapStats sum = {};
  ForEachNode([&](PageHeap& heap) { sum.Add(heap.Stats(large_classes)); });
  return sum;
}

PageHeapResidency NodeHeaps::MeasureResidency() {
  PageHeapResidency sum = {};
  ForEach([&sum](PageHeap& heap) { sum.Add(heap.MeasureResidency()); });
  return sum;
}

bool NodeHeaps::CheckInvariants() {
  bool good = true;
  ForEach([&good](PageHeap& heap) { good &= heap.CheckInvariants(); });
  return good;
}

}  // namespace spanmalloc

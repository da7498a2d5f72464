// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/arena_snapshots.h"

#include <string.h>

#include <new>

namespace spanmalloc {
namespace {

void SetClass(SizeClass c, const CentralFreeListStats& counts, StatsSnapshot* snapshot) {
  ClassStats& stats = snapshot->classes[c];
  stats.allocations = counts.taken;
  stats.deallocations = counts.returned;
  stats.live = counts.taken - counts.returned;
  stats.requests = counts.taken;
  stats.SetLists(counts);
}

// Subtracts the classes of one arena from those of all.
void Subtract(const StatsSnapshot& part, StatsSnapshot* all) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const ClassStats& less = part.classes[c];
    ClassStats& stats = all->classes[c];
    stats.allocations -= less.allocations;
    stats.deallocations -= less.deallocations;
    // Borrowed objects that sized frees brought count as freed, but not as allocated.
    const bool more = stats.allocations > stats.deallocations;
    stats.live = more ? stats.allocations - stats.deallocations : 0;
    stats.requests -= less.requests < stats.requests ? less.requests : stats.requests;
    stats.SubtractLists(less);
    stats.thread_cached -= less.thread_cached;
  }
  for (size_t k = 0; k < kLargeClasses; ++k) {
    all->large_classes[k].made -= part.large_classes[k].made;
    all->large_classes[k].freed -= part.large_classes[k].freed;
  }
  all->metadata_used -= part.metadata_used;
  all->metadata_mapped -= part.metadata_mapped;
  all->threads -= part.threads < all->threads ? part.threads : all->threads;
}

// Adds the locks of an index of explicit arenas.
void AddLocks(const StatsSources& sources, unsigned index, ArenaLocks* locks) {
  sources.arenas->ForEachListOf(index, [locks](CentralFreeList& list) {
    locks->lists[list.size_class()].Add(list.lock().acquisitions());
  });
  if (PageHeap* heap = sources.page_heap.ArenaHeapAt(index)) {
    locks->page_heap.Add(heap->lock().acquisitions());
  }
}

}  // namespace

bool ArenaSnapshots::Reserve(MetadataAllocator& metadata, size_t count) {
  if (count <= capacity_) return true;
  size_t capacity = capacity_ == 0 ? 8 : capacity_;
  while (capacity < count) capacity *= 2;
  auto* slots = static_cast<Slot*>(metadata.Allocate(capacity * sizeof(Slot)));
  if (slots == nullptr) return false;
  if (capacity_ != 0) {
    memcpy(slots, slots_, capacity_ * sizeof(Slot));
    metadata.Free(slots_, capacity_ * sizeof(Slot));
  }
  slots_ = slots;
  capacity_ = capacity;
  return true;
}

ArenaSnapshots::Numbers* ArenaSnapshots::SlotOf(MetadataAllocator& metadata, size_t index) {
  Slot& slot = slots_[index];
  if (slot.numbers == nullptr) slot.numbers = metadata.New<Numbers>();
  slot.taken = slot.numbers != nullptr;
  if (!slot.taken) return nullptr;
  slot.numbers->snapshot = {};
  slot.numbers->locks = {};
  for (size_t& count : slot.numbers->cached) count = 0;
  return slot.numbers;
}

void ArenaSnapshots::TakeArena(const StatsSources& sources, unsigned index) {
  ArenaSet& arenas = *sources.arenas;
  slots_[index].taken = false;
  if (!arenas.Exists(index)) return AddLocks(sources, index, &destroyed_->locks);
  Numbers* numbers = SlotOf(sources.metadata, index);
  if (numbers == nullptr) return;
  if (numbers->created_ns != arenas.CreatedNs(index)) numbers->history = {};
  numbers->created_ns = arenas.CreatedNs(index);
  StatsSnapshot* snapshot = &numbers->snapshot;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    CentralFreeListStats counts = {};
    arenas.AddStats(index, static_cast<SizeClass>(c), &counts);
    SetClass(static_cast<SizeClass>(c), counts, snapshot);
  }
  snapshot->heap = sources.page_heap.ArenaStats(index, snapshot->large_classes);
  snapshot->threads = arenas.Threads(index);
  snapshot->metadata_used = snapshot->metadata_mapped = arenas.MetadataBytes(index);
  AddLocks(sources, index, &numbers->locks);
}

void ArenaSnapshots::SettleCached() {
  for (size_t i = 1; i < count_; ++i) {
    if (!slots_[i].taken) continue;
    Numbers& numbers = *slots_[i].numbers;
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      ClassStats& stats = numbers.snapshot.classes[c];
      numbers.history.Settle(c, stats.allocations, stats.deallocations, numbers.cached[c], &stats);
    }
    numbers.snapshot.SumUp();
  }
}

size_t ArenaSnapshots::CachedIn(SizeClass size_class) const {
  size_t cached = 0;
  ForEach([&](const StatsSnapshot& arena) { cached += arena.classes[size_class].thread_cached; });
  return cached;
}

void ArenaSnapshots::TakeDestroyed(const StatsSources& sources) {
  StatsSnapshot* snapshot = &destroyed_->snapshot;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    CentralFreeListStats counts = {};
    sources.arenas->AddDestroyed(static_cast<SizeClass>(c), &counts);
    SetClass(static_cast<SizeClass>(c), counts, snapshot);
  }
  sources.arenas->AddDestroyed(&snapshot->heap, snapshot->large_classes);
  snapshot->SumUp();
}

void ArenaSnapshots::TakeExplicit(const StatsSources& sources) {
  if (sources.arenas == nullptr || sources.arenas->end() == 1) return;
  // No arena is destroyed meanwhile: it would count twice.
  os::LockHolder hold(sources.arenas->table_lock());
  const unsigned end = sources.arenas->end();
  if (destroyed_ == nullptr) destroyed_ = sources.metadata.New<Destroyed>();
  if (destroyed_ == nullptr || !Reserve(sources.metadata, end)) return;
  *destroyed_ = {};
  count_ = end;
  for (unsigned i = 1; i < end; ++i) TakeArena(sources, i);
  TakeDestroyed(sources);
}

void ArenaSnapshots::AddClass(SizeClass c, CentralFreeListStats* stats) const {
  ForEach([&](const StatsSnapshot& arena) {
    const ClassStats& more = arena.classes[c];
    stats->taken += more.allocations;
    stats->returned += more.deallocations;
    more.AddListsTo(stats);
  });
}

void ArenaSnapshots::AddHeaps(StatsSnapshot* stats) const {
  ForEach([&](const StatsSnapshot& arena) {
    stats->heap.Add(arena.heap);
    for (size_t k = 0; k < kLargeClasses; ++k) {
      stats->large_classes[k].made += arena.large_classes[k].made;
      stats->large_classes[k].freed += arena.large_classes[k].freed;
    }
  });
}

void ArenaSnapshots::TakeAutomatic(const StatsSources& sources, const PageHeapStats& heap,
                                   StatsSnapshot* all) {
  if (count_ == 0) return;
  Numbers* numbers = SlotOf(sources.metadata, 0);
  if (numbers == nullptr) return;
  StatsSnapshot* own = &numbers->snapshot;
  *own = *all;
  ForEach([own](const StatsSnapshot& arena) { Subtract(arena, own); });
  own->heap = heap;
  own->SumUp();
  all->released_pages = own->released_pages;
  ForEach([all](const StatsSnapshot& arena) { all->released_pages += arena.released_pages; });
}

template <typename Figures>
void ArenaSnapshots::MeasureHeaps(const StatsSources& sources, Figures Numbers::* figures,
                                  void (PageHeap::*add)(Figures*), Figures* all) const {
  *all = {};
  sources.page_heap.ForEachNode([=](PageHeap& heap) { (heap.*add)(all); });
  if (count_ != 0 && slots_[0].taken) slots_[0].numbers->*figures = *all;
  for (size_t i = 1; i < count_; ++i) {
    if (!slots_[i].taken) continue;
    Figures& of = slots_[i].numbers->*figures;
    of = {};
    PageHeap* heap = sources.page_heap.ArenaHeapAt(static_cast<unsigned>(i));
    if (heap != nullptr) (heap->*add)(&of);
    all->Add(of);
  }
}

void ArenaSnapshots::MeasureExtents(const StatsSources& sources, FreeExtents* all) {
  MeasureHeaps(sources, &Numbers::extents, &PageHeap::AddFreeExtents, all);
}

void ArenaSnapshots::MeasureHugePages(const StatsSources& sources, HugePageCounts* all) {
  MeasureHeaps(sources, &Numbers::huge_pages, &PageHeap::AddHugePages, all);
}

size_t ArenaSnapshots::Bytes() const {
  size_t bytes = count_ * sizeof(Slot) + (destroyed_ == nullptr ? 0 : sizeof(Destroyed));
  for (size_t i = 0; i < count_; ++i) bytes += slots_[i].taken ? sizeof(Numbers) : 0;
  return bytes;
}

void ArenaSnapshots::MoveTo(void* memory) {
  auto* slots = static_cast<Slot*>(memory);
  auto* numbers = reinterpret_cast<Numbers*>(slots + count_);
  for (size_t i = 0; i < count_; ++i) {
    slots[i] = slots_[i];
    if (slots[i].taken) slots[i].numbers = new (numbers++) Numbers(*slots_[i].numbers);
  }
  slots_ = slots;
  if (destroyed_ != nullptr) destroyed_ = new (numbers) Destroyed(*destroyed_);
}

}  // namespace spanmalloc

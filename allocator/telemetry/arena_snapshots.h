// SPDX-License-Identifier: Apache-2.0
//
// The numbers of each arena in one epoch, as a StatsSnapshot each: the automatic arena, the
// explicit ones, and those that were destroyed, whose counts go on. Their sum is the snapshot of
// all. There are none unless the program has made arenas: then the snapshot of all is the automatic
// arena's.
//
// They take memory of the allocator's own, for as many arenas as there were at once. Guarded by the
// caller's lock, as the StatsCollector that has them taken.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_ARENA_SNAPSHOTS_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_ARENA_SNAPSHOTS_H_

#include <cstddef>

#include "allocator/telemetry/stats_snapshot.h"

namespace spanmalloc {

// How often the locks of an explicit arena were taken. They are those of its index: without an
// arena they count with the destroyed ones, and an arena that is given one anew finds them counted.
struct ArenaLocks {
  os::LockAcquisitions page_heap;
  os::LockAcquisitions lists[kSizeClassEnd];

  void Add(const ArenaLocks& more) {
    page_heap.Add(more.page_heap);
    for (size_t c = 1; c < kSizeClassEnd; ++c) lists[c].Add(more.lists[c]);
  }
};

class ArenaSnapshots {
 public:
  constexpr ArenaSnapshots() = default;

  // Takes the numbers of the explicit arenas.
  void TakeExplicit(const StatsSources& sources);

  // Then: where to count, by class, what caches hold of an arena; nullptr if there is no such
  // place.
  size_t* CachedOf(size_t index) {
    return index != 0 && Of(index) != nullptr ? slots_[index].numbers->cached : nullptr;
  }

  // When that is counted: it is no more in use.
  void SettleCached();

  // The sum of it.
  size_t CachedIn(SizeClass size_class) const;

  // Adds what a class counted in all of them to `stats`.
  void AddClass(SizeClass size_class, CentralFreeListStats* stats) const;

  // Adds the figures of their page heaps and large blocks.
  void AddHeaps(StatsSnapshot* stats) const;

  // What `all`, taken with the sums above, leaves is the automatic arena's; `heap` is what its page
  // heaps had in them. Pages that are rounded for each arena are then summed up in `all`.
  void TakeAutomatic(const StatsSources& sources, const PageHeapStats& heap, StatsSnapshot* all);

  // Then: has the free runs, or the huge pages, of each of these arenas' page heaps measured, and
  // their sum.
  void MeasureExtents(const StatsSources& sources, FreeExtents* all);
  void MeasureHugePages(const StatsSources& sources, HugePageCounts* all);

  // An arena's; nullptr if there was no such arena, or no explicit one at all.
  const StatsSnapshot* Of(size_t index) const {
    return index < count_ && slots_[index].taken ? &slots_[index].numbers->snapshot : nullptr;
  }
  // The same for its locks; not for the automatic arena's.
  const ArenaLocks* LocksOf(size_t index) const {
    return index != 0 && index < count_ && slots_[index].taken ? &slots_[index].numbers->locks
                                                               : nullptr;
  }
  // What was measured, the same way.
  const FreeExtents* ExtentsOf(size_t index) const {
    return Of(index) == nullptr ? nullptr : &slots_[index].numbers->extents;
  }
  const HugePageCounts* HugePagesOf(size_t index) const {
    return Of(index) == nullptr ? nullptr : &slots_[index].numbers->huge_pages;
  }
  // Those of arenas that are gone; nullptr if there were none.
  const StatsSnapshot* destroyed() const {
    return destroyed_ == nullptr ? nullptr : &destroyed_->snapshot;
  }
  const ArenaLocks* destroyed_locks() const {
    return destroyed_ == nullptr ? nullptr : &destroyed_->locks;
  }
  // Calls visit(const ArenaLocks&) for those and for all explicit arenas'.
  template <typename Visit>
  void ForEachLocks(Visit visit) const {
    for (size_t i = 1; i < count_; ++i) {
      if (slots_[i].taken) visit(slots_[i].numbers->locks);
    }
    if (destroyed_ != nullptr) visit(destroyed_->locks);
  }

  // What the numbers take, and has them copied to as much memory: a copy of this object then stands
  // for itself. Nothing may be taken in it.
  size_t Bytes() const;
  void MoveTo(void* memory);

 private:
  struct Numbers {
    StatsSnapshot snapshot;
    ArenaLocks locks;
    size_t cached[kSizeClassEnd];
    FreeExtents extents;
    HugePageCounts huge_pages;
    CountHistory history;
    uint64_t created_ns;  // of the arena that this is the history of
  };
  struct Destroyed {
    StatsSnapshot snapshot;
    ArenaLocks locks;
  };
  struct Slot {
    Numbers* numbers;
    bool taken;
  };

  bool Reserve(MetadataAllocator& metadata, size_t count);
  Numbers* SlotOf(MetadataAllocator& metadata, size_t index);
  void TakeArena(const StatsSources& sources, unsigned index);
  void TakeDestroyed(const StatsSources& sources)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(sources.arenas->table_lock());
  template <typename Figures>
  void MeasureHeaps(const StatsSources& sources, Figures Numbers::* figures,
                    void (PageHeap::*add)(Figures*), Figures* all) const;
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (size_t i = 1; i < count_; ++i) {
      if (slots_[i].taken) visit(slots_[i].numbers->snapshot);
    }
    if (destroyed_ != nullptr) visit(destroyed_->snapshot);
  }

  Slot* slots_ = nullptr;
  size_t count_ = 0;  // of slots in use, [0] for the automatic arena's
  size_t capacity_ = 0;
  Destroyed* destroyed_ = nullptr;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_ARENA_SNAPSHOTS_H_

// SPDX-License-Identifier: Apache-2.0
//
// The window's whole huge pages: which are free, which of those may be resident, and where the
// heap ends. Hands out runs of them, growing the heap by mmap at its end, and gives runs back to
// the kernel. The page heap cuts single huge pages into spans and gives runs to large spans.
//
// A pool may lend runs to the heaps of explicit arenas. Their pools grow by what such a source
// gives them, wherever it lies, and return what is free and clean. They may hold extents of a
// program's extent hooks, too, memory outside the window: no run reaches from one into the next,
// and they leave only when asked for.
//
// Guarded by the page heap's lock; calls the kernel with it held only to grow.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_POOL_H_
#define SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_POOL_H_

#include <cstddef>
#include <cstdint>

#include "allocator/heap/huge_page_source.h"
#include "allocator/heap/page_map.h"
#include "allocator/os/virtual_memory.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/util/attributes.h"
#include "allocator/util/bitmap.h"

namespace spanmalloc {

class HugePagePool {
 public:
  constexpr HugePagePool(os::VirtualMemory& memory, PageMap& page_map)
      : memory_(memory), page_map_(page_map) {}

  // A bit for each huge page of the window. Zero to begin with, and never touched beyond the heap.
  struct Maps {
    Bitmap<kWindowHugePages> free;      // mapped, and nobody's
    Bitmap<kWindowHugePages> dirty;     // free, and perhaps resident
    Bitmap<kWindowHugePages> hole;      // below the end, not mapped: given back, or never ours
    Bitmap<kWindowHugePages> advised;   // the kernel was given advice about some of it
    Bitmap<kWindowHugePages> released;  // free, and given back to the kernel not long ago
    Bitmap<kWindowHugePages> lent;      // another heap's for now
  };

  // Sets the window: it starts at `base` (a multiple of the huge page size) and ends at `limit`,
  // both within one aligned 4 TiB block. `maps` is all zero, and the pool's from then on.
  void Init(uintptr_t base, uintptr_t limit, Maps* maps);

  // In the place of Init: has no window, but what `source` gives it of the aligned 4 TiB block at
  // `block`.
  void InitOver(HugePageSource* source, uintptr_t block, Maps* maps);
  bool has_source() const { return source_ != nullptr; }

  // Takes `count` huge pages whose first index is a multiple of `alignment`. An empty run if
  // neither the free ones nor the kernel can serve it.
  HugeRun Take(size_t count, size_t alignment);

  // Takes huge pages [index, index + count) if all are free or can be mapped at the heap's end.
  HugeRun TakeAt(size_t index, size_t count);

  // Takes back a run. `dirty`: it may be resident. If not, advice about it is taken back too.
  void Put(size_t index, size_t count, bool dirty);

  // As Take and TakeAt, for another heap.
  HugeRun Lend(size_t count, size_t alignment) { return NoteLent(Take(count, alignment)); }
  HugeRun LendAt(size_t index, size_t count) { return NoteLent(TakeAt(index, count)); }
  void PutLent(const HugeRun& run);
  size_t lent() const { return lent_; }

  // Enters an extent that a program's hook gave, as free. Requires: has_source.
  void PutForeign(const HugeRun& run);
  // Takes a free run of an extent, the first at or behind `*cursor`, to leave the heap; moves
  // `*cursor` behind it. Empty if there is none.
  HugeRun TakeForeign(size_t* cursor, ForeignPart part);

  // The first huge page of a free run of `count` (2 or more), at or behind `from` and a multiple of
  // `alignment`, in extents that adjoin each other; kWindowHugePages if there is none.
  size_t FindAdjoining(size_t from, size_t count, size_t alignment) const;
  // Whether huge pages [index, index + count) are free and adjoin each other and the one before.
  bool AdjoinsFree(size_t index, size_t count) const;

  // The first huge page from `index` on that the caller holds; beyond the extent if there is none.
  size_t NextHeld(size_t index) const;

  // Returns all that is free to the source. Returns how many huge pages.
  size_t ReturnFree();

  // Takes the longest dirty free run of at most `max_count`, the highest addresses first; empty if
  // none is dirty. The caller releases its memory and puts it back clean.
  HugeRun TakeDirty(size_t max_count) {
    return dirty_count_ == 0 ? HugeRun() : TakeLastDirty(max_count);
  }

  // Notes that a run, which is free now, was given back to the kernel. What was noted until
  // ForgetReleased shows in HugeRun::released.
  void NoteReleased(size_t index, size_t count);
  void ForgetReleased();

  // Marks huge pages that the caller holds as no longer mapped.
  void PutUnmapped(size_t index, size_t count) {
    maps_->hole.SetRange(index, count);
    ForgetAdvice(index, count);
    mapped_ -= count;
  }

  // Asks the kernel for huge pages under a run that the caller holds.
  void Advise(size_t index, size_t count);

  // Places where the kernel's mapping is split in two because advice begins or ends there.
  size_t advice_edges() const { return advice_edges_; }

  // Takes back what was asked for under a huge page that the caller holds, and under all that
  // follow each other around it: one mapping of the kernel's becomes another, not three.
  void AdviseAgainst(size_t index);

  // Whether there was advice about any of a run since it was mapped.
  bool IsAdvised(size_t index, size_t count) const;

  // Notes that advised pages were moved to a run.
  void NoteAdvised(size_t index, size_t count);

  // Unmaps every free huge page, so that the kernel counts it no more against the process's
  // address space and commit limits. Returns how many were unmapped.
  size_t UnmapFree();

  // Whether a huge page of the heap's extent is mapped and the heap's own, and whether it is
  // nobody's.
  bool IsMapped(size_t index) const {
    return !maps_->hole.Get(index) && (lent_ == 0 || !maps_->lent.Get(index));
  }
  // Whether huge pages of its part of the window are other heaps'.
  bool shares() const { return lent_ != 0 || has_source(); }
  // As IsMapped, for any huge page of the window.
  bool Has(size_t index) const { return index - begin_ < end_ - begin_ && IsMapped(index); }
  bool IsFree(size_t index) const { return maps_->free.Get(index); }
  bool IsDirty(size_t index) const { return maps_->dirty.Get(index); }

  void* AddressOf(size_t index) const {
    if (foreign_ != 0 && page_map_.foreign()->Has(index)) {
      return reinterpret_cast<void*>(page_map_.foreign()->AddressOf(index));
    }
    return reinterpret_cast<void*>(block_ + (index << kHugePageShift));
  }
  bool InHeap(uintptr_t address) const { return address >= base_ && address < end_address(); }
  uintptr_t base() const { return base_; }
  uintptr_t end_address() const { return block_ + (end_ << kHugePageShift); }

  // Up to here the page map can be written to, from first_index() on.
  size_t covered_end() const { return has_source() ? begin_ : covered_end_; }

  // The heap's huge pages have indices [first, end).
  struct Indices {
    size_t first;
    size_t end;
  };
  Indices indices() const { return {begin_, end_}; }
  size_t first_index() const { return begin_; }
  size_t extent() const { return end_ - begin_; }

  // Counts of huge pages: mapped in all, free, free and dirty.
  size_t mapped() const { return mapped_; }
  size_t free() const { return free_count_; }
  size_t dirty() const { return dirty_count_; }

  // Whether the counts agree with the bitmaps.
  bool CheckInvariants() const;

 private:
  // The heap grows by an eighth of itself at a time, within these bounds.
  static constexpr size_t kMinGrowth = 2;
  static constexpr size_t kMaxGrowth = 32;

  // Advice splits the kernel's mapping in two wherever it begins or ends. A process may have 65 530
  // mappings; with so many of those places nothing more is asked for.
  static constexpr size_t kMaxAdviceEdges = 4096;

  // Which huge pages a run may be made of.
  enum class Choice { kResident, kFree, kHolesToo, kAcrossExtents };

  HugeRun TakeLastDirty(size_t max_count);
  ALLOC_SLOW_PATH size_t FindRun(size_t count, size_t alignment, Choice choice,
                                 size_t from = 0) const;
  bool RunIsFree(size_t index, size_t count, Choice choice, size_t* busy_at) const;
  ALLOC_SLOW_PATH HugeRun TakeHoles(size_t count, size_t alignment);
  bool FillHoles(size_t index, size_t count);
  HugeRun Claim(size_t index, size_t count);
  ALLOC_SLOW_PATH void ClaimDirty(HugeRun* run);
  ALLOC_SLOW_PATH void ClaimReleased(HugeRun* run);
  ALLOC_SLOW_PATH void ForgetAdvice(size_t index, size_t count);
  size_t AdviceEdges(size_t index, size_t count) const;
  void NoteAdviceEdges(size_t before, size_t after);
  bool Grow(size_t count, size_t alignment);
  ALLOC_SLOW_PATH bool GrowBeyond(size_t count, size_t alignment);
  bool MapAtEnd(size_t count);
  bool CoverTo(size_t end);
  HugeRun NoteLent(HugeRun run);
  ALLOC_SLOW_PATH HugeRun Adopt(const HugeRun& run);
  ALLOC_SLOW_PATH void ReturnRun(size_t index, size_t count, bool dirty);
  void Leave(size_t index, size_t count);
  bool IsForeign(size_t index) const { return foreign_ != 0 && page_map_.foreign()->Has(index); }
  // Whether a run may reach from the huge page before `index` to it.
  bool Joins(size_t index) const { return foreign_ == 0 || page_map_.foreign()->Joins(index); }
  bool Adjoins(size_t index) const { return page_map_.foreign()->Adjoins(index); }

  os::VirtualMemory& memory_;
  PageMap& page_map_;
  uintptr_t block_ = 0;  // the aligned 4 TiB block that holds the window
  uintptr_t base_ = 0;
  size_t begin_ = 0;  // indices [begin_, end_) have been mapped at some time
  size_t end_ = 0;
  size_t limit_ = 0;
  size_t covered_end_ = 0;
  size_t mapped_ = 0;
  size_t free_count_ = 0;
  size_t dirty_count_ = 0;
  size_t released_count_ = 0;
  size_t advice_edges_ = 0;  // places where advised and other huge pages meet
  size_t lent_ = 0;
  size_t foreign_ = 0;  // huge pages of extents from hooks
  Maps* maps_ = nullptr;
  HugePageSource* source_ = nullptr;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_POOL_H_

// SPDX-License-Identifier: Apache-2.0
//
// The central free lists of all size classes, one set (a shard) per CPU, made when a CPU first
// needs one. A shard's lists are picked by the number of the CPU that the caller runs on, modulo a
// limit that may change at any time, and, where there are several NUMA nodes, by its node; both may
// be stale, so any shard serves any thread. A shard of a node has spans of that node, and its
// arrays get objects of that node only.
//
// Called by the thread caches' slow paths. Locks: each list's own; one more to make a shard.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_PER_CPU_CENTRAL_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_PER_CPU_CENTRAL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/central/central_free_list.h"
#include "allocator/central/class_hints.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/params/size_class_table.h"

namespace spanmalloc {

class PerCpuCentral {
 public:
  explicit constexpr PerCpuCentral(const Heap& heap) : heap_(heap) {}

  // CPUs beyond this share shards.
  static constexpr size_t kMaxShards = CentralFreeList::kFirstArenaShard;

  // Objects moved in one call to the lists, at most.
  static constexpr size_t kMaxBatch = 64;

  // Takes up to `want` (<= kMaxBatch) free objects of `size_class` into `out`: from this CPU's
  // list, else from what another CPU of its node has to spare, else, a single object, from what a
  // larger class has idle, if the heap would grow, else from a new span, else from what another
  // node's CPU has to spare. 0 if out of memory, or caches are asked first (AtPeak).
  // `*zeroed`, where asked for, tells whether the objects read as zeros.
  size_t Remove(SizeClass size_class, void** out, size_t want, bool* zeroed = nullptr,
                AtPeak at_peak = AtPeak::kGrow);

  // Takes back objects[0, count), of any span of `size_class`. Faulty pointers are reported.
  void Insert(SizeClass size_class, void* const* objects, size_t count);

  // As Insert, past the array and straight into the objects' spans. Requires: count <= kMaxBatch.
  void InsertInSpans(SizeClass size_class, void* const* objects, size_t count);

  // Empties every shard's arrays into the spans, so that empty spans return to the page heap.
  void Drain();

  // The same for the classes of whole spans: their pages are for everybody then.
  void ReturnWholeSpans();

  // A tick: returns to the spans what lay in each array untouched since the last one.
  void ReturnIdle();

  // A tick for the spans alone, while the heap grows.
  void TickSpans();

  // Gives up to `bytes` inside spans back to the kernel, out of what no list wanted since the tick
  // before the last (see CentralFreeList::ReleaseIdle). Searches a limited number of spans. Where
  // nothing was idle at the last tick, takes no lock.
  void ReleaseIdleSinceTick(size_t bytes);

  // The same at the end of a period, without a limit to the bytes. Returns false if it was cut
  // short; the next call then goes on from there.
  bool ReleaseIdleSincePeriod();

  // Whether a pass at the end of a period was cut short, and not gone on with to its end.
  bool InPass() const { return pass_at_.load(std::memory_order_relaxed) != 0; }

  // As above with what is free, wanted of late or not, within the bounds of `search`, which it
  // counts down.
  void ReleaseFree(SpanSearch* search);

  // As above without bounds. `resident` as for PageHeap::Release.
  void ReleaseAll(size_t* resident = nullptr);

  // As ReleaseAll, but not in explicit arenas, which the others are for as well.
  void ReleaseOwn();

  // As ArenaSet's; called with no lock held.
  void ServeAllHooked(uint64_t now_ms);
  void ReturnUnusedHooked();

  // Sums a class over all shards.
  CentralFreeListStats Stats(SizeClass size_class);

  // Has threads use `count` shards (at least 1) of each node from now on; no more, whatever their
  // CPU. What is in others by then leaves them as what is idle there does.
  void LimitShards(size_t count) {
    shard_limit_.store(count < 1            ? 1
                       : count < kMaxShards ? count
                                            : kMaxShards,
                       std::memory_order_relaxed);
  }

  size_t shard_limit() const { return shard_limit_.load(std::memory_order_relaxed); }

  // How many shards there are.
  size_t CountShards() const;
  bool CheckInvariants();

  os::RankedLock& table_lock() ABSL_LOCK_RETURNED(table_lock_) { return table_lock_; }
  // Calls visit(CentralFreeList&) for every list, in the order in which a fork takes their locks.
  template <typename Visit>
  void ForEachList(Visit visit) {
    for (size_t s = 0; s < shards(); ++s) {
      for (size_t c = 1; c < kSizeClassEnd; ++c) {
        if (CentralFreeList* list = ListAt(s, c)) visit(*list);
      }
    }
  }
  // The same for those of a class.
  template <typename Visit>
  void ForEachListOf(SizeClass size_class, Visit visit) {
    for (size_t s = 0; s < shards(); ++s) {
      if (CentralFreeList* list = ListAt(s, size_class)) visit(*list);
    }
  }

  // Shards with an index below may exist.
  size_t shards() const { return shard_end_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kSurplusGroups = 64;
  // Spans searched in one go for memory to release: some tenths of a millisecond's work.
  static constexpr size_t kMaxSearched = 256;

  // A CPU's lists, each made when it is first needed.
  struct Shard {
    std::atomic<CentralFreeList*> lists[kSizeClassEnd] = {};
  };

  // The list of a shard and class; nullptr if there is none yet.
  CentralFreeList* ListAt(size_t index, size_t size_class) const {
    // Acquire: pairs with the releases in MakeShard and MakeList.
    Shard* shard = shards_[index].load(std::memory_order_acquire);
    return shard == nullptr ? nullptr : shard->lists[size_class].load(std::memory_order_acquire);
  }

  // This CPU's list, made if need be; another CPU's if there is no memory for it; nullptr if there
  // is none at all.
  CentralFreeList* HomeList(SizeClass size_class);
  // The same where there is one node; where there are several, for threads of `node`.
  CentralFreeList* HomeListOfOne(size_t cpu, SizeClass size_class) {
    const size_t limit = shard_limit();
    return ListOf(cpu < limit ? cpu : cpu % limit, size_class);
  }
  CentralFreeList* HomeListOn(uint32_t node, size_t cpu, SizeClass size_class);
  CentralFreeList* ListOf(size_t index, SizeClass size_class) {
    CentralFreeList* list = ListAt(index, size_class);
    return ABSL_PREDICT_TRUE(list != nullptr) ? list : MakeList(index, size_class);
  }
  CentralFreeList* MakeList(size_t index, SizeClass size_class) ABSL_LOCKS_EXCLUDED(table_lock_);
  Shard* MakeShard(size_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_);
  void NoteSurplus(const CentralFreeList& list);
  size_t RemoveFromGroup(SizeClass size_class, size_t group, const CentralFreeList& home,
                         void** out, size_t want);
  uint64_t GroupsOf(uint32_t node) const;
  size_t RemoveFromOthers(const CentralFreeList& home, uint64_t groups, void** out, size_t want);
  void NoteIdle(const CentralFreeList& list);
  bool Borrow(const CentralFreeList& home, void** out);
  void* BorrowFrom(SizeClass lender, uint32_t node);
  void InsertAt(CentralFreeList* list, SizeClass size_class, void* const* objects, size_t count);
  void InsertByNode(SizeClass size_class, void* const* objects, size_t count);
  size_t FindRuns(void* const* objects, size_t count, ObjectRun* runs) const;
  void PutElsewhere(SizeClass size_class, void* object, Span* span);
  void PutRunElsewhere(SizeClass size_class, void* const* objects, const ObjectRun& run,
                       Span* span);
  bool IsOfLists(const Span* span, SizeClass size_class) const;
  CentralFreeList* ListOf(const Span* span, SizeClass size_class) const;
  void PutWholeSpans(SizeClass size_class, void* const* objects, size_t count);
  void PutInSpans(SizeClass size_class, void* const* objects, size_t count);
  void DrainList(CentralFreeList& list, size_t count);
  void ReleaseOwnFree(SpanSearch* search);

  Heap heap_;
  os::RankedLock table_lock_{LockRank::kShardTable};
  // For each class: bit i is set if a shard whose number is i modulo kSurplusGroups may have more
  // than a batch of it. A hint that spares looks at lists with nothing to spare: set when objects
  // come to a list, cleared by whoever looks in vain, who may lose what is set meanwhile until more
  // objects come.
  std::atomic<uint64_t> surplus_[kSizeClassEnd] = {};
  ClassHints lenders_;              // the classes of which a list may lend
  ClassHints idle_;                 // those of which one may release something since the last tick
  std::atomic<size_t> pass_at_{0};  // the list at which ReleaseIdleSincePeriod goes on
  std::atomic<size_t> shard_end_{0};
  std::atomic<size_t> shard_limit_{kMaxShards};
  std::atomic<Shard*> shards_[kMaxShards] = {};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_PER_CPU_CENTRAL_H_

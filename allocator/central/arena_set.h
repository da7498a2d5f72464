// SPDX-License-Identifier: Apache-2.0
//
// Explicit arenas: heaps apart, made and destroyed by the program. Each has central free lists of
// its own over a page heap of its own (heap/arena_heap.h), so its objects share no huge page with
// any other's, and all of them are freed in time proportional to its spans. Their pages have no
// size class in the page map, so frees of their objects come to the slow path and are told by their
// span; the default heap's fast paths know nothing of them.
//
// Called by mallocx with an arena, by threads that are bound to one, by the slow path of free, by
// maintenance, and by mallctl. Each list has its own lock; the table has the rank of the shard
// table's. An index's structures are kept for the next arena of that index, so that whoever uses an
// arena while it is destroyed finds an empty one.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_ARENA_SET_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_ARENA_SET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/central/arena_epoch.h"
#include "allocator/central/central_free_list.h"
#include "allocator/central/per_cpu_central.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/params/size_class_table.h"

namespace spanmalloc {

// What the program may set for an arena.
struct ArenaSettings {
  // For how long free memory is kept: milliseconds, -1 for ever, 0 not at all.
  int64_t dirty_decay_ms;
  // Remembered only.
  int64_t muzzy_decay_ms;
  // Who gives the arena its memory; nullptr: the common heap.
  ExtentHooks* hooks = nullptr;
  // Whether there is only to be an arena if these give memory.
  bool tries_hooks = false;
};

// What is remembered of an arena for the program and means nothing here. Guarded by whoever uses
// it.
struct ArenaNotes {
  static constexpr size_t kNameBytes = 32;

  size_t oversize_threshold = 0;  // 0: never set, as the others
  size_t retain_grow_limit = 0;
  char name[kNameBytes] = {};
};

class ArenaSet {
 public:
  // Arena 0 is the automatic one, the heap of all threads; the explicit ones follow it.
  static constexpr unsigned kMaxArenas = NodeHeaps::kMaxArenas;

  explicit constexpr ArenaSet(const Heap& heap) : heap_(heap) {}

  // Makes an arena; of the indices that are free, the one that was destroyed last. False if there
  // are too many, or no memory. Called with no lock held.
  bool Create(const ArenaSettings& settings, unsigned* index) ABSL_LOCKS_EXCLUDED(table_lock_);

  // Frees every block of the arena at once. Nobody may use the arena or its blocks meanwhile; what
  // threads bound to it keep is forgotten. False if there is no such arena.
  bool Reset(unsigned index) ABSL_LOCKS_EXCLUDED(table_lock_);

  // As Reset; the arena is gone, and its index may be given to a new one. False, too, if threads
  // are bound to it.
  bool Destroy(unsigned index) ABSL_LOCKS_EXCLUDED(table_lock_);

  bool Exists(unsigned index) const { return Find(index) != nullptr; }

  // Whether an arena was ever destroyed.
  bool AnyDestroyed() const { return any_destroyed_.load(std::memory_order_relaxed); }

  // One more than the highest index ever in use, arena 0 included.
  unsigned end() const { return end_.load(std::memory_order_relaxed); }

  // Counts a thread that allocates from an explicit arena by default. False if there is no such
  // arena.
  bool Bind(unsigned index) ABSL_LOCKS_EXCLUDED(table_lock_);
  void Unbind(unsigned index) ABSL_LOCKS_EXCLUDED(table_lock_);
  unsigned Threads(unsigned index) const;
  // In a child after fork: of all threads one is left, bound to arena `index`, or to none if 0.
  void ResetAfterFork(unsigned index);

  // The epoch that lasts until all blocks of the arena are freed at once. Requires: there was an
  // arena of that index.
  ArenaEpoch Epoch(unsigned index) const;

  // A block of class `size_class`, or a large one of `size` bytes for kNoSizeClass, aligned to
  // `alignment` if large. nullptr if there is no such arena or no memory.
  void* Allocate(unsigned index, size_t size_class, size_t size, size_t alignment, bool* zeroed);

  // Takes up to `want` (at most PerCpuCentral::kMaxBatch) objects of a class into `out` under one
  // lock. Returns how many; 0 if there is no such arena or no memory. `*zeroed` as for Allocate.
  size_t AllocateBatch(unsigned index, SizeClass size_class, void** out, size_t want, bool* zeroed);

  // Takes back objects[0, count) of a class, which AllocateBatch or Allocate gave out of that
  // arena, under one lock for up to kMaxBatch of them. Faulty pointers are reported. What a cache
  // kept since an `epoch` that is over is forgotten.
  void FreeBatch(unsigned index, SizeClass size_class, void* const* objects, size_t count,
                 ArenaEpoch epoch = {});

  // Whether `span` belongs to an explicit arena, and to which.
  static bool Owns(const Span* span) {
    return span->shard.load(std::memory_order_relaxed) >= PerCpuCentral::kMaxShards;
  }
  static unsigned IndexOf(const Span* span) {
    return span->shard.load(std::memory_order_relaxed) - unsigned{PerCpuCentral::kMaxShards};
  }

  // Takes back an object, not a large block, of such a span. Faults are reported.
  void Free(Span* span, void* object);

  // Makes room for a block that Allocate couldn't allocate for want of `pages` pages. False if the
  // arena has no hooks, or they give no memory. Called with no lock held, as is what gives memory
  // back to hooks: Reset, Destroy, Purge, Decay and those below.
  bool Provide(unsigned index, size_t pages, size_t alignment);

  // Gives back what an arena with hooks hasn't needed for its decay time, if that is due; of all
  // such arenas; all that is free in one, inside spans too, or in all that don't keep it for ever.
  void ServeHooked(unsigned index, uint64_t now_ms);
  void ServeAllHooked(uint64_t now_ms);
  void ReturnHooked(unsigned index, Wait wait);
  void ReturnUnusedHooked();

  // The extent hooks of an arena that exists; the default ones if the program gave none. Those of
  // the automatic arena are remembered only.
  const ExtentHooks* Hooks(unsigned index) const;
  bool SetHooks(unsigned index, ExtentHooks* hooks) ABSL_LOCKS_EXCLUDED(table_lock_);

  // Of an arena that exists.
  ArenaSettings Settings(unsigned index) const;
  void SetDirtyDecay(unsigned index, int64_t ms) ABSL_LOCKS_EXCLUDED(table_lock_);
  void SetMuzzyDecay(unsigned index, int64_t ms) ABSL_LOCKS_EXCLUDED(table_lock_);
  ArenaNotes& Notes(unsigned index) { return index == 0 ? automatic_notes_ : At(index)->notes; }
  // When it was made, by the monotonic clock.
  uint64_t CreatedNs(unsigned index) const;

  // Gives all free memory of an arena back to the kernel, and its huge pages to the common heap.
  // `resident` as for PageHeap::Release.
  void Purge(unsigned index, size_t* resident = nullptr) ABSL_LOCKS_EXCLUDED(table_lock_);
  // Gives back what hasn't been needed for its decay time.
  void Decay(unsigned index, uint64_t now_ms) ABSL_LOCKS_EXCLUDED(table_lock_);

  // As PerCpuCentral's, for all arenas.
  void FreeEmptySpans() ABSL_LOCKS_EXCLUDED(table_lock_);
  void TickSpans() ABSL_LOCKS_EXCLUDED(table_lock_);
  void ReleaseIdle(IdleSince since, SpanSearch* search) ABSL_LOCKS_EXCLUDED(table_lock_);
  void ReleaseFree(SpanSearch* search) ABSL_LOCKS_EXCLUDED(table_lock_);

  // Adds an arena's figures for a class.
  void AddStats(unsigned index, SizeClass size_class, CentralFreeListStats* stats);
  // The allocator's own structures that exist for the sake of an arena, in bytes.
  size_t MetadataBytes(unsigned index) const;
  // The same, and of its page heap, for all arenas together, those that are gone included.
  void AddStats(SizeClass size_class, CentralFreeListStats* stats) ABSL_LOCKS_EXCLUDED(table_lock_);
  // `large_classes` as for PageHeap::Stats.
  void AddHeapStats(PageHeapStats* stats, LargeClassStats* large_classes)
      ABSL_LOCKS_EXCLUDED(table_lock_);
  // What arenas that are gone have counted. Who adds it to figures of single arenas holds the lock
  // over all of it: then no arena goes meanwhile.
  void AddDestroyed(SizeClass size_class, CentralFreeListStats* stats)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_);
  void AddDestroyed(PageHeapStats* stats, LargeClassStats* large_classes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_);

  bool CheckInvariants() ABSL_LOCKS_EXCLUDED(table_lock_);

  os::RankedLock& table_lock() ABSL_LOCK_RETURNED(table_lock_) { return table_lock_; }
  // Calls visit(CentralFreeList&) for every list, those of indices without an arena included.
  template <typename Visit>
  void ForEachList(Visit visit) {
    for (unsigned i = 1; i < end(); ++i) {
      if (Arena* arena = At(i)) arena->ForEachList(visit);
    }
  }
  // The same for an arena's.
  template <typename Visit>
  void ForEachListOf(unsigned index, Visit visit) {
    if (Arena* arena = At(index)) arena->ForEachList(visit);
  }

 private:
  struct DestroyedArenas {
    PageHeapStats heap;
    CentralFreeListStats classes[kSizeClassEnd];
    LargeClassStats large_classes[kLargeClasses];
  };
  struct Arena {
    // Each made when it is first needed.
    std::atomic<CentralFreeList*> lists[kSizeClassEnd] = {};
    std::atomic<bool> exists{false};
    std::atomic<uint32_t> threads{0};
    std::atomic<uint64_t> epoch{0};
    std::atomic<int64_t> dirty_decay_ms{0};
    std::atomic<int64_t> muzzy_decay_ms{0};
    std::atomic<uint64_t> created_ns{0};
    std::atomic<uint64_t> next_purge_ms{0};  // of what lies inside spans, by hooks
    ArenaNotes notes;
    unsigned next_free = 0;  // the index that was destroyed before this one; 0: none

    CentralFreeList* ListAt(size_t size_class) const {
      // Acquire: pairs with the release in MakeList.
      return lists[size_class].load(std::memory_order_acquire);
    }
    template <typename Visit>
    void ForEachList(Visit visit) {
      for (size_t c = 1; c < kSizeClassEnd; ++c) {
        if (CentralFreeList* list = ListAt(c)) visit(*list);
      }
    }
  };

  struct Table {
    std::atomic<Arena*> arenas[kMaxArenas] = {};
  };

  static uint16_t OwnerOf(unsigned index) {
    return static_cast<uint16_t>(PerCpuCentral::kMaxShards + index);
  }
  // What stands at an index, whether there is an arena now or not.
  Arena* At(unsigned index) const {
    // Acquire: these pair with the releases in MakeTable and Create.
    const Table* table = table_.load(std::memory_order_acquire);
    return table == nullptr || index == 0 || index >= kMaxArenas
               ? nullptr
               : table->arenas[index].load(std::memory_order_acquire);
  }
  Arena* Find(unsigned index) const {
    Arena* arena = At(index);
    return arena == nullptr || !arena->exists.load(std::memory_order_relaxed) ? nullptr : arena;
  }
  CentralFreeList* ListOf(Arena* arena, unsigned index, SizeClass size_class) {
    CentralFreeList* list = arena->ListAt(size_class);
    return ABSL_PREDICT_TRUE(list != nullptr) ? list : MakeList(arena, index, size_class);
  }
  CentralFreeList* MakeList(Arena* arena, unsigned index, SizeClass size_class)
      ABSL_LOCKS_EXCLUDED(table_lock_);
  bool Make(const ArenaSettings& settings, unsigned* index) ABSL_LOCKS_EXCLUDED(table_lock_);
  Table* MakeTable() ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_);
  unsigned TakeIndex() ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_);
  bool SetHooksLocked(unsigned index, ExtentHooks* hooks)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_);
  void ReleaseAll(unsigned index, size_t* resident) ABSL_LOCKS_EXCLUDED(table_lock_);
  // Whether an arena's blocks were freed; if not, it may have got hooks meanwhile.
  enum class Emptied : uint8_t { kYes, kNo, kHooksCame };
  Emptied Empty(unsigned index, const HookedMemory* closed, bool for_good)
      ABSL_LOCKS_EXCLUDED(table_lock_);
  void ReturnAndRetire(unsigned index) ABSL_LOCKS_EXCLUDED(table_lock_);
  void Retire(unsigned index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_);
  void FreeBlocks(Arena* arena, unsigned index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_);
  void PurgeIdleSpans(unsigned index, uint64_t now_ms);

  // Spans searched for what is idle inside them, at a time.
  static constexpr size_t kMaxPurged = 256;

  // Calls visit(Arena&) for every arena there is whose memory is no program's.
  template <typename Visit>
  void ForEachOwn(Visit visit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_) {
    for (unsigned i = 1; i < end(); ++i) {
      Arena* arena = Find(i);
      if (arena != nullptr && heap_.page_heap.HookedMemoryOf(i) == nullptr) visit(*arena);
    }
  }
  // Calls visit(index) for every one whose memory is.
  template <typename Visit>
  void ForEachHooked(Visit visit) {
    for (unsigned i = 1; i < end(); ++i) {
      if (heap_.page_heap.HookedMemoryOf(i) != nullptr) visit(i);
    }
  }
  // Calls visit(Arena&) for every arena there is.
  template <typename Visit>
  void ForEach(Visit visit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_) {
    for (unsigned i = 1; i < end(); ++i) {
      if (Arena* arena = Find(i)) visit(*arena);
    }
  }

  Heap heap_;
  os::RankedLock table_lock_{LockRank::kShardTable};
  std::atomic<Table*> table_{nullptr};  // made with the first arena
  std::atomic<unsigned> end_{1};
  ArenaNotes automatic_notes_;
  std::atomic<const ExtentHooks*> automatic_hooks_{nullptr};
  unsigned last_destroyed_ ABSL_GUARDED_BY(table_lock_) = 0;
  DestroyedArenas* destroyed_ ABSL_GUARDED_BY(table_lock_) = nullptr;
  std::atomic<bool> any_destroyed_{false};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_ARENA_SET_H_

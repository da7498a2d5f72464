// SPDX-License-Identifier: Apache-2.0
//
// Explicit arenas: heaps apart, made and destroyed by the program, whose objects share no span with
// any other's. Their pages have no size class in the page map, so frees of their objects come to
// the slow path and are told by their span; the default heap's fast paths know nothing of them.
//
// Called by mallocx with an arena, by the slow path of free, and by mallctl. Each list has its own
// lock; the table has the rank of the shard table's.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_ARENA_SET_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_ARENA_SET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/central/central_free_list.h"
#include "allocator/central/per_cpu_central.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/params/size_class_table.h"

namespace spanmalloc {

class ArenaSet {
 public:
  // Arena 0 is the automatic one, the heap of all threads; the explicit ones follow it.
  static constexpr unsigned kMaxArenas = 1024;

  explicit constexpr ArenaSet(const Heap& heap) : heap_(heap) {}

  // Makes an arena. False if there are too many, or no memory.
  bool Create(unsigned* index) ABSL_LOCKS_EXCLUDED(table_lock_);

  // Frees every block of the arena at once. Nobody may use the arena or its blocks meanwhile. False
  // if there is no such arena.
  bool Reset(unsigned index) ABSL_LOCKS_EXCLUDED(table_lock_);

  // As Reset; the arena is gone, and its index may be given to a new one.
  bool Destroy(unsigned index) ABSL_LOCKS_EXCLUDED(table_lock_);

  bool Exists(unsigned index) const { return Find(index) != nullptr; }

  // One more than the highest index ever in use, arena 0 included.
  unsigned end() const { return end_.load(std::memory_order_relaxed); }

  // A block of class `size_class`, or a large one of `size` bytes for kNoSizeClass, aligned to
  // `alignment` if large. nullptr if there is no such arena or no memory.
  void* Allocate(unsigned index, size_t size_class, size_t size, size_t alignment, bool* zeroed);

  // Takes up to `want` (at most PerCpuCentral::kMaxBatch) objects of a class into `out` under one
  // lock. Returns how many; 0 if there is no such arena or no memory. `*zeroed` as for Allocate.
  size_t AllocateBatch(unsigned index, SizeClass size_class, void** out, size_t want, bool* zeroed);

  // Takes back objects[0, count) of a class, which AllocateBatch or Allocate gave out of that
  // arena, under one lock for up to kMaxBatch of them. Faulty pointers are reported.
  void FreeBatch(unsigned index, SizeClass size_class, void* const* objects, size_t count);

  // Whether `span` belongs to an explicit arena.
  static bool Owns(const Span* span) {
    return span->shard.load(std::memory_order_relaxed) >= PerCpuCentral::kMaxShards;
  }

  // Takes back an object, not a large block, of such a span. Faults are reported.
  void Free(Span* span, void* object);

  // Adds the arenas' figures for a class.
  void AddStats(SizeClass size_class, CentralFreeListStats* stats);

  os::RankedLock& table_lock() ABSL_LOCK_RETURNED(table_lock_) { return table_lock_; }
  template <typename Visit>
  void ForEachList(Visit visit) {
    for (unsigned i = 1; i < end(); ++i) {
      Arena* arena = Find(i);
      if (arena == nullptr) continue;
      for (size_t c = 1; c < kSizeClassEnd; ++c) visit(arena->lists[c]);
    }
  }

 private:
  struct Arena {
    CentralFreeList lists[kSizeClassEnd];
  };

  static uint16_t OwnerOf(unsigned index) {
    return static_cast<uint16_t>(PerCpuCentral::kMaxShards + index);
  }
  void PutBatch(CentralFreeList& list, void* const* objects, size_t count);
  Arena* Find(unsigned index) const {
    // Acquire: pairs with the release in Create.
    return index == 0 || index >= kMaxArenas ? nullptr
                                             : arenas_[index].load(std::memory_order_acquire);
  }

  // Ahead of the members that refer to others, which are relocated at load: it makes their page the
  // process's own, and they shall share it with what the runtime has next.
  std::atomic<Arena*> arenas_[kMaxArenas] = {};
  Heap heap_;
  os::RankedLock table_lock_{LockRank::kShardTable};
  std::atomic<unsigned> end_{1};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_ARENA_SET_H_

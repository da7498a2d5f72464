// SPDX-License-Identifier: Apache-2.0
//
// A cache of free objects that the program made (tcache.create) and names in its calls
// (MALLOCX_TCACHE), instead of the calling thread's own. One thread at a time uses it, which is the
// program's duty, so a hit takes no lock.
//
// It holds objects of one arena at a time, arena 0 being the heap of all threads: an allocation
// from another empties it first, and objects of other arenas go home past it. So whatever arena an
// allocation names, its block is of that arena.
//
// Misses and overflows hold `lock_`, which is all but never contended, so that statistics and
// fork() find the bins in order. What it may hold comes out of the budget of all thread caches.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_EXPLICIT_CACHE_H_
#define SPANMALLOC_ALLOCATOR_CACHE_EXPLICIT_CACHE_H_

#include <cstddef>
#include <cstdint>

#include "allocator/cache/cache_sizing.h"
#include "allocator/central/arena_set.h"
#include "allocator/central/per_cpu_central.h"
#include "allocator/heap/metadata_allocator.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/params/size_class_table.h"
#include "allocator/util/relaxed.h"

namespace spanmalloc {

// What explicit caches share.
struct ExplicitCacheContext {
  PerCpuCentral& central;
  ArenaSet& arenas;
  MetadataAllocator& metadata;
  CacheBudget& budget;
};

class ExplicitCache {
 public:
  explicit ExplicitCache(const ExplicitCacheContext& context) : context_(context) {}
  ExplicitCache(const ExplicitCache&) = delete;
  ExplicitCache& operator=(const ExplicitCache&) = delete;

  // An object of class `c` and arena `arena` that the cache holds; nullptr if it holds none.
  void* Pop(unsigned arena, size_t c) {
    Bin& bin = bins_[c];
    const uint32_t held = RelaxedLoad(bin.held);
    if (held == 0 || arena != RelaxedLoad(arena_)) return nullptr;
    void* object = bin.slots[held - 1];
    RelaxedStore(bin.held, held - 1);
    return object;
  }

  // Takes an object of class `c` and arena `arena`. False if there is no room for it.
  bool Push(unsigned arena, size_t c, void* object) {
    Bin& bin = bins_[c];
    const uint32_t held = RelaxedLoad(bin.held);
    if (held >= bin.limit || arena != RelaxedLoad(arena_)) return false;
    RelaxedStore(bin.slots[held], object);
    RelaxedStore(bin.held, held + 1);
    return true;
  }

  // An object after Pop found none; nullptr if out of memory, or if there is no such arena.
  // `*zeroed`: it is known to read as zeros.
  void* Refill(unsigned arena, size_t c, bool* zeroed) ABSL_LOCKS_EXCLUDED(lock_);

  // Takes an object for which Push had no room.
  void Overflow(unsigned arena, size_t c, void* object) ABSL_LOCKS_EXCLUDED(lock_);

  // Returns all objects, the arrays and the budget. The cache may be used on.
  void Flush() ABSL_LOCKS_EXCLUDED(lock_);

  // The arena whose objects it holds, if it holds any.
  unsigned arena() const { return RelaxedLoad(arena_); }

  // Adds the number of objects held of each class to counts[class].
  void AddCounts(size_t* counts) const;

  // Requires: nobody is using the cache.
  bool CheckInvariants() ABSL_LOCKS_EXCLUDED(lock_);

  os::RankedLock& lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }

 private:
  // `slots` and `limit` change under the lock, `held` with every hit.
  struct Bin {
    void** slots = nullptr;
    uint32_t held = 0;
    uint16_t limit = 0;  // at most the array's capacity
    BinHistory history;
    uint8_t array_log = 0;  // the array has 2^array_log slots; 0: none

    size_t capacity() const { return array_log == 0 ? 0 : size_t{1} << array_log; }
    size_t array_bytes() const { return sizeof(void*) << array_log; }
  };

  // Beyond the budget, a cache may hold one batch of each class up to this size.
  static constexpr size_t kMaxOverdrawnSize = 16384;
  static constexpr uint8_t kMinArrayLog = 3;  // a cache line

  bool Reserve(size_t c, size_t capacity) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool RaiseLimit(size_t c, size_t limit, bool within_budget) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void ReturnOldest(size_t c, size_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Empty() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool HoldsNothing() const;
  size_t TakeFromArena(unsigned arena, size_t c, void** out, size_t want, bool* zeroed);
  void ReturnToArena(unsigned arena, size_t c, void* const* objects, size_t count);

  const ExplicitCacheContext context_;
  os::RankedLock lock_{LockRank::kExplicitCache};
  unsigned arena_ = 0;
  BudgetShare share_ ABSL_GUARDED_BY(lock_);
  Bin bins_[kSizeClassEnd];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_EXPLICIT_CACHE_H_

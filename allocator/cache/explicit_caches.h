// SPDX-License-Identifier: Apache-2.0
//
// The explicit caches by their index: mallctl makes, flushes and destroys them, mallocx and its kin
// find them, statistics count what they hold.
//
// Finding one takes no lock. The table's lock comes before those of the caches; both are held
// around fork(), after which the child has the caches as they were.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_EXPLICIT_CACHES_H_
#define SPANMALLOC_ALLOCATOR_CACHE_EXPLICIT_CACHES_H_

#include <atomic>
#include <cstddef>

#include "allocator/cache/explicit_cache.h"
#include "allocator/os/ranked_lock.h"

namespace spanmalloc {

class ExplicitCaches {
 public:
  // As many as MALLOCX_TCACHE has room for.
  static constexpr unsigned kMaxCaches = 4093;

  explicit constexpr ExplicitCaches(const ExplicitCacheContext& context) : context_(context) {}

  // Makes a cache, under the lowest index that is free. False if there are too many, or no memory.
  bool Create(unsigned* index) ABSL_LOCKS_EXCLUDED(table_lock_);

  // Returns what a cache holds. False if there is no such cache. Nobody may use it meanwhile.
  bool Flush(unsigned index) ABSL_LOCKS_EXCLUDED(table_lock_);

  // As Flush; the cache is gone, and its index may be given to a new one.
  bool Destroy(unsigned index) ABSL_LOCKS_EXCLUDED(table_lock_);

  // nullptr if there is no such cache.
  ExplicitCache* Find(unsigned index) const {
    // Acquire: pairs with the releases in Create.
    std::atomic<ExplicitCache*>* table = table_.load(std::memory_order_acquire);
    if (ABSL_PREDICT_FALSE(table == nullptr || index >= kMaxCaches)) return nullptr;
    return table[index].load(std::memory_order_acquire);
  }

  // Returns what caches hold of arena `arena`, which is about to be reset. Nobody may use the
  // arena's blocks meanwhile, nor caches that hold some.
  void FlushArena(unsigned arena) ABSL_LOCKS_EXCLUDED(table_lock_);

  // Adds the number of objects held of each class to counts[class]; returns how many caches there
  // are.
  size_t AddCounts(size_t* counts) ABSL_LOCKS_EXCLUDED(table_lock_) {
    return AddCounts([counts](unsigned) { return counts; });
  }

  // The same, what caches hold of arena `i` to counts_of(i).
  template <typename CountsOf>
  size_t AddCounts(CountsOf counts_of) ABSL_LOCKS_EXCLUDED(table_lock_) {
    os::LockHolder hold(table_lock_);
    size_t caches = 0;
    ForEach([&](ExplicitCache& cache) {
      cache.AddCounts(counts_of(cache.arena()));
      ++caches;
    });
    return caches;
  }

  // Around fork(): holds all locks. In the child, ResetAfterFork frees them.
  void LockAll() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void UnlockAll() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ResetAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;

  // Requires: nobody is using any of the caches.
  bool CheckInvariants() ABSL_LOCKS_EXCLUDED(table_lock_);

 private:
  template <typename Visit>
  void ForEach(Visit visit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_lock_) {
    for (unsigned i = 0; i < end_; ++i) {
      if (ExplicitCache* cache = Find(i)) visit(*cache);
    }
  }

  const ExplicitCacheContext context_;
  os::RankedLock table_lock_{LockRank::kExplicitCaches};
  // kMaxCaches of them, made with the first cache.
  std::atomic<std::atomic<ExplicitCache*>*> table_{nullptr};
  unsigned end_ ABSL_GUARDED_BY(table_lock_) = 0;  // one more than the highest index ever in use
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_EXPLICIT_CACHES_H_

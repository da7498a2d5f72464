// SPDX-License-Identifier: Apache-2.0
//
// Every lock of the allocator, in the order in which a thread may take them: a thread that holds
// a lock may take only locks of a higher rank. (Central free lists are never nested, nor are page
// heaps, except by the fork handler, which takes them in index order.) RankedLock checks the order
// in debug builds; the fork handler takes all of them in this order.
#ifndef SPANMALLOC_ALLOCATOR_UTIL_LOCK_RANK_H_
#define SPANMALLOC_ALLOCATOR_UTIL_LOCK_RANK_H_

#include <cstdint>

namespace spanmalloc {

enum class LockRank : uint8_t {
  kControl,          // mallctl: the statistics epoch and the options that can be written
  kMemoryLimits,     // the limits, what is given back for them, the reader of control groups
  kThreadRegistry,   // the list of live thread states
  kThreadState,      // one thread's bins while they are refilled, flushed, counted or torn down
  kExplicitCaches,   // the table of explicit caches
  kExplicitCache,    // one of them, while it is refilled, flushed or torn down
  kShardTable,       // creation of a CPU's central free lists
  kCentralFreeList,  // one size class on one CPU
  kNodeHeaps,        // the making of a node's page heap
  kArenaHeap,        // the page heap of an explicit arena
  kPageHeap,         // spans, huge pages, the page map's writers
  kMetadata,         // the allocator's own memory
  kRegions,          // the program's regions
};

inline constexpr int kLockRankCount = static_cast<int>(LockRank::kRegions) + 1;

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_UTIL_LOCK_RANK_H_

// SPDX-License-Identifier: Apache-2.0
//
// One consistent set of the allocator's numbers: plain data, taken from every floor in one call,
// from which mallctl, the statistics dump and mallinfo answer. All sums are formed from the
// figures of the size classes, so that they add up whatever other threads do meanwhile.
//
// Allocations are counted where objects pass between thread caches and central free lists; the
// hit path counts nothing. Objects that a thread cache holds count as freed.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_SNAPSHOT_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>

#include "allocator/cache/background_thread.h"
#include "allocator/cache/explicit_caches.h"
#include "allocator/cache/memory_limits.h"
#include "allocator/cache/thread_counts.h"
#include "allocator/cache/thread_registry.h"
#include "allocator/central/arena_set.h"
#include "allocator/central/per_cpu_central.h"
#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/node_heaps.h"
#include "allocator/heap/page_heap.h"
#include "allocator/heap/page_map.h"
#include "allocator/heap/region_set.h"
#include "allocator/params/size_class_table.h"

namespace spanmalloc {

// Where the shared library lies in memory.
struct LibraryImage {
  const void* begin;
  const void* end;
};

// The floors that the numbers come from.
struct StatsSources {
  MetadataAllocator& metadata;
  PageMap& page_map;
  NodeHeaps& page_heap;
  PerCpuCentral& central;
  ThreadRegistry& registry;
  ArenaSet* arenas = nullptr;              // may be absent
  BackgroundThread* background = nullptr;  // may be absent
  MemoryLimits* limits = nullptr;          // may be absent
  const LibraryImage* image = nullptr;     // absent in a program that contains the allocator
  ExplicitCaches* explicit_caches = nullptr;
  const ThreadCountsPool* counts = nullptr;  // may be absent
  RegionSet* regions = nullptr;
};

struct ClassStats {
  uint64_t allocations;    // nmalloc; allocations - deallocations == live, always
  uint64_t deallocations;  // ndalloc
  uint64_t live;           // objects the program holds
  uint64_t requests;       // if all threads count theirs; else as allocations
  uint64_t fills;          // batches given to thread caches
  uint64_t flushes;        // batches taken back
  uint64_t spans_made;
  uint64_t spans_reused;
  size_t spans;
  size_t nonfull_spans;
  size_t thread_cached;   // objects in thread caches
  size_t central_cached;  // objects in the CPUs' arrays
  size_t span_free;       // objects free in spans
  size_t released_parts;  // of those spans, parts of kReleaseUnit bytes given back to the kernel

  // Those that the central free lists count themselves, but for the CPUs' arrays.
  void SetLists(const CentralFreeListStats& lists);
  void AddListsTo(CentralFreeListStats* lists) const;
  void SubtractLists(const ClassStats& part);
};

struct StatsSnapshot {
  ClassStats classes[kSizeClassEnd];  // from 1
  PageHeapStats heap;
  LargeClassStats large_classes[kLargeClasses];
  size_t threads;          // threads that have a cache
  size_t sharing_threads;  // of them, threads that share caches of CPUs
  size_t cpu_caches;       // these caches
  size_t explicit_caches;  // caches that the program made
  size_t shards;           // CPUs that have central free lists
  size_t nodes;            // NUMA nodes that have a page heap
  size_t metadata_used;    // bytes
  size_t metadata_mapped;  // bytes
  size_t page_map;         // bytes, of metadata_used
  BackgroundThreadStats background;
  MemoryLimitsStats limits;
  IdleCachesStats idle_caches;
  RegionStats regions;

  // Sums over the classes, bytes unless said otherwise.
  size_t small_live;
  uint64_t small_allocations;
  uint64_t small_deallocations;
  uint64_t small_requests;
  uint64_t small_fills;
  uint64_t small_flushes;
  size_t thread_cached;
  size_t central_cached;
  size_t span_free;
  size_t span_released;   // of which the kernel has the memory
  size_t released_pages;  // the same in whole pages of each arena, which add up

  // Forms these sums.
  void SumUp();

  size_t large_live() const { return heap.large_pages * kPageSize; }
  size_t allocated() const { return small_live + large_live(); }
  // Pages in spans: allocated, cached, and free inside spans, but for those given back there.
  size_t active_pages() const { return heap.span_pages - released_pages; }
  size_t active() const { return active_pages() * kPageSize; }
  size_t dirty() const { return heap.dirty_pages * kPageSize; }
  size_t metadata() const { return metadata_used; }
  // Of that, what is neither allocated nor cached: free in spans, and what spans have left over.
  // (Blocks that were counted before their spans may be in spans that are gone.)
  size_t rest_of_spans() const {
    const size_t elsewhere = allocated() + thread_cached + central_cached;
    return active() > elsewhere ? active() - elsewhere : 0;
  }
  // At most this much of the heap is resident: what was never touched can't be told apart.
  size_t resident() const { return active() + dirty() + metadata(); }
  size_t mapped() const { return heap.mapped_pages * kPageSize + metadata_mapped; }
  // Mapped, and its memory given back to the kernel or never touched.
  size_t retained() const { return heap.mapped_pages * kPageSize - active() - dirty(); }
};

// The counts of a heap's classes. What caches hold counts as freed. When the program takes it out
// again the count of that would go back; instead both counts go forward by that allocation.
class CountHistory {
 public:
  // Fills in a class's counts. `taken` and `returned` are those of the central lists, `cached` is
  // what caches were seen to hold.
  void Settle(size_t c, uint64_t taken, uint64_t returned, size_t cached, ClassStats* stats);

 private:
  uint64_t deallocations_seen_[kSizeClassEnd] = {};
  uint64_t uncounted_[kSizeClassEnd] = {};
};

class ArenaSnapshots;
class CpuLists;

// What thread caches hold and may hold, in objects, by size class. That is what the budget is for.
struct CacheDepth {
  size_t objects[kSizeClassEnd];
  size_t limits[kSizeClassEnd];
  int64_t budget;       // bytes for all of them
  int64_t budget_left;  // that no thread has
};

// What is taken beside the sums, each where it is given.
struct StatsDetails {
  ArenaSnapshots* arenas = nullptr;  // what of it is whose
  CpuLists* cpus = nullptr;          // what the lists of each CPU have; begun
  CacheDepth* caches = nullptr;
  CacheDepth* cpu_caches = nullptr;
};

// Takes the numbers. It keeps, between calls, what is needed for the counts of allocations and
// deallocations never to go back. Not thread-safe: the caller holds a lock of its own.
class StatsCollector {
 public:
  constexpr StatsCollector() = default;
  void Collect(const StatsSources& sources, StatsSnapshot* snapshot,
               const StatsDetails& details = {});

 private:
  CountHistory history_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_SNAPSHOT_H_

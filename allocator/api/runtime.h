// SPDX-License-Identifier: Apache-2.0
//
// The one global: every floor, constant-initialised and wired together. Only this folder names it;
// the floors below get what they need through their constructors.
#ifndef SPANMALLOC_ALLOCATOR_API_RUNTIME_H_
#define SPANMALLOC_ALLOCATOR_API_RUNTIME_H_

#include <atomic>
#include <cstddef>

#include "allocator/api/reentrant_heap.h"
#include "allocator/api/thread_locals.h"
#include "allocator/cache/background_thread.h"
#include "allocator/cache/cpu_limit.h"
#include "allocator/cache/explicit_caches.h"
#include "allocator/cache/memory_limits.h"
#include "allocator/cache/passing_work.h"
#include "allocator/cache/thread_counts.h"
#include "allocator/cache/thread_registry.h"
#include "allocator/central/arena_set.h"
#include "allocator/central/per_cpu_central.h"
#include "allocator/heap/bad_pointer.h"
#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/node_heaps.h"
#include "allocator/heap/page_map.h"
#include "allocator/heap/region_set.h"
#include "allocator/os/clock.h"
#include "allocator/os/control_groups.h"
#include "allocator/os/group_memory.h"
#include "allocator/os/numa_nodes.h"
#include "allocator/os/thread.h"
#include "allocator/os/virtual_memory.h"
#include "allocator/params/memory_geometry.h"

namespace spanmalloc {

// The tables of a runtime that few programs need. All zero at first.
struct RuntimeTables {
  ReentrantHeap::Table reentrant;
  os::ControlGroups::Texts groups;
};

struct Runtime {
  constexpr Runtime(FaultReporter report, RuntimeTables& tables)
      : metadata(memory),
        page_map(memory),
        page_heap(memory, clock, metadata, page_map, node_facts),
        reentrant(memory, tables.reentrant),
        arenas(Heap{metadata, page_map, page_heap, report}),
        registry(CacheContext{central, metadata, budget, clock, &empty_cache, &arenas}),
        regions(memory, metadata),
        explicit_caches(ExplicitCacheContext{central, arenas, metadata, budget}),
        groups(files, tables.groups),
        group_memory(groups),
        limits(page_heap, central, metadata, page_map, group_memory, clock),
        cpu_limit(groups, central),
        background(page_heap, central, registry, limits, clock),
        central(Heap{metadata, page_map, page_heap, report, &arenas}) {}

  // Makes the runtime usable, once; every slow path calls it. False if the kernel refuses the
  // address space; the next call tries again. Thread-safe.
  bool EnsureInitialized() {
    // Acquire: pairs with the release in AdvanceTo.
    return ABSL_PREDICT_TRUE(state.load(std::memory_order_acquire) == kReady) || AdvanceTo(kReady);
  }

  // The part of it that can't wait for the first slow path: afterwards every pointer can be looked
  // up, the options are those of the program's start, and the hooks are in place. A program that
  // never allocates needs no more.
  bool EnsureLoaded() { return AdvanceTo(kLoaded); }

  // The calling thread's state, made if need be; nullptr if it has none and can get none.
  ThreadState* ThreadStateOrNull();

  // In a slow path: the calling thread's state of an explicit arena; nullptr if it has none.
  ThreadState* HeldArenaState(unsigned arena);

  // The same, made if the thread is bound to the arena, or has named it often while it was bound to
  // none. A thread has one of one arena at a time.
  ThreadState* ArenaStateOrNull(unsigned arena);

  // Outside of slow paths: the calling thread's state of an explicit arena, for a hit; nullptr if
  // it has none, or a slow path must look first.
  static ThreadState* ArenaStateForHit(unsigned arena) {
    const ThreadState* own = thread_locals.state;
    ThreadState* of_arena = own == nullptr ? nullptr : own->of_arena;
    return of_arena != nullptr && of_arena->arena() == arena && of_arena->MayHit() &&
                   thread_locals.depth == 0
               ? of_arena
               : nullptr;
  }

  // The calling thread is ending: returns its cache.
  void EndThread();

  // The calling thread allocates from an explicit arena from now on, or from the common heap if
  // `arena` is 0. False, and nothing changed, if there is no such arena.
  bool BindThread(unsigned arena);

  // The calling thread's counts, in a slow path of a thread for which `counting` holds; nullptr if
  // it turns out that it doesn't count.
  ThreadCounts* CountsOrNull() {
    ThreadCounts* own = thread_locals.counts;
    return ABSL_PREDICT_TRUE(own != nullptr) ? own : DecideCounting();
  }

  // In a slow path: the calling thread counts its calls from now on, or no longer. False if there
  // is no memory for that. Its counts stay.
  bool SetCounting(bool counting);

  // Whether the calling thread counts its calls, and whether its fast paths are to find the empty
  // cache.
  static bool Counts() { return thread_locals.counts != nullptr && MayCount(); }
  static bool HidesCache() { return thread_locals.arena != 0 || Counts(); }

  // After a change of that: has its caches hidden or not.
  void HideOrShowCache();

  // The calling thread is ending: its counts are another's.
  void EndCounting();

  // The calling thread, whose state is `own`, leaves the block alone that it last grew by realloc:
  // the pages kept for that are free again.
  void EndGrowth(ThreadState* own);

  // What slow paths do in passing, some times a second: gives idle memory back. Cheap when it isn't
  // time yet.
  void Maintain() {
    const uint64_t next = maintenance.next_ms();
    if (ABSL_PREDICT_FALSE(next < kUntimed)) return MaintainFirst(next);
    const uint64_t now = clock.NowMs();
    if (ABSL_PREDICT_FALSE(now >= next || page_heap.HasGrown())) MaintainNow(now);
  }

  // Starts the background thread if it is wanted; called at the end of allocations, but not of free
  // (see os::StartThread).
  void StartBackgroundIfWanted() {
    if (ABSL_PREDICT_FALSE(background.wanted())) StartBackground();
  }

  // Gives back what is free, so that a failed allocation of `pages` pages may be tried again.
  // Returns whether that is worth while; if it never can be, nothing is given back.
  bool ReclaimForRetry(size_t pages, size_t alignment);

  // An allocation failed, tried again or not. Ends the process if it was for the hard limit and the
  // options want that.
  void NoteFailure(size_t size, size_t pages);

  os::KernelMemory memory;
  os::MonotonicClock clock;
  MetadataAllocator metadata;
  // On cache lines of their own: the page map, which every free reads and hardly anybody writes to;
  // the budget, which many threads write to; and what every slow path reads (below).
  alignas(kCacheLine) PageMap page_map;
  alignas(kCacheLine) NodeHeaps page_heap;
  ReentrantHeap reentrant;
  ArenaSet arenas;
  alignas(kCacheLine) CacheBudget budget;
  alignas(kCacheLine) ThreadRegistry registry;
  RegionSet regions;
  ExplicitCaches explicit_caches;
  ThreadCountsPool counts;
  os::KernelFiles files;
  // Guarded by limits.lock().
  os::ControlGroups groups;
  os::GroupMemory group_memory;
  MemoryLimits limits;
  CpuLimit cpu_limit;
  BackgroundThread background;
  os::ThreadExitHook thread_exit;
  os::KernelNodeFacts node_facts;

  // Its time, below kUntimed: how many slow paths there were.
  alignas(kCacheLine) PassingWork maintenance;
  std::atomic<uint64_t> next_idle_ms{0};
  std::atomic<uint64_t> next_span_release_ms{0};
  std::atomic<bool> in_span_pass{false};
  std::atomic<uint64_t> next_span_tick_ms{0};

  std::atomic<int> state{kNotLoaded};
  size_t window = 0;  // bytes of address space that the page map covers

  // Last, as the end of its table of shards is never touched.
  alignas(kCacheLine) PerCpuCentral central;

 private:
  // `state`, in this order.
  static constexpr int kBusy = -1;
  static constexpr int kNotLoaded = 0;
  static constexpr int kLoaded = 1;
  static constexpr int kReady = 2;

  static constexpr uint64_t kMaintenanceMs = 50;
  // A program that ends soon needs no maintenance: while its heap is small, the first slow paths
  // are counted, and no clock is read.
  static constexpr uint64_t kUntimed = 64;
  static constexpr uint64_t kIdleMs = 250;
  // For how many of the times for which free memory is kept a thread is summoned.
  static constexpr uint64_t kSummonedPeriods = 2;
  // While the heap grows beyond its peak: time between ticks of the spans, and how many times the
  // growth is given back of what lay idle in them.
  static constexpr uint64_t kSpanTickMs = 50;
  static constexpr size_t kPaidForGrowth = 4;

  // A thread gets a cache of an arena that it isn't bound to at so many allocations there.
  static constexpr uint16_t kNamedToCache = 32;

  bool AdvanceTo(int goal);
  ALLOC_SLOW_PATH ThreadState* MakeThreadState();
  ALLOC_SLOW_PATH bool DecideSharing();
  ALLOC_SLOW_PATH bool GivesUpCache();
  void EndSharing();
  ALLOC_SLOW_PATH ThreadState* MakeArenaState(unsigned arena);
  bool NoteNamed(unsigned arena);
  void EndArenaState();
  ThreadCounts* DecideCounting();
  bool Load();
  bool PlaceHeap();
  ALLOC_SLOW_PATH void MaintainFirst(uint64_t slow_paths);
  void MaintainNow(uint64_t now);
  void GiveBackInPassing(uint64_t now, bool much);
  bool HasRested(uint64_t ms);
  void ReleaseUnused();
  bool PayForGrowth(uint64_t now);
  void FollowLimits(uint64_t now);
  void EndSpanPeriod(uint64_t now);
  void SummonIfAlone(uint64_t now);
  void StartBackground();
};

extern __attribute__((visibility("hidden"))) Runtime runtime;

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_RUNTIME_H_

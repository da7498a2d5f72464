// SPDX-License-Identifier: Apache-2.0
//
// All floors from the thread caches down, over the kernel's memory, beside the system's malloc:
// what the tests of statistics and control take numbers from. Each has a place of its own in the
// address space, which stays taken.
#ifndef SPANMALLOC_TESTS_TELEMETRY_TEST_HEAP_H_
#define SPANMALLOC_TESTS_TELEMETRY_TEST_HEAP_H_

#include <cstdio>
#include <cstdlib>

#include "allocator/cache/background_thread.h"
#include "allocator/cache/memory_limits.h"
#include "allocator/cache/thread_registry.h"
#include "allocator/central/arena_set.h"
#include "allocator/central/per_cpu_central.h"
#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/node_heaps.h"
#include "allocator/heap/page_map.h"
#include "allocator/os/clock.h"
#include "allocator/os/control_groups.h"
#include "allocator/os/numa_nodes.h"
#include "allocator/os/virtual_memory.h"
#include "allocator/telemetry/stats_snapshot.h"

namespace spanmalloc {

class TestHeap {
 public:
  TestHeap() {
    static uintptr_t next = kFirstBase;
    const uintptr_t base = next;
    next += kRegion;
    if (!page_map.Init(kWindowSize) || !page_heap.Init(base, base + kRegion)) {
      std::fprintf(stderr, "no place for a heap\n");
      std::abort();
    }
    budget.Init(int64_t{16} << 20);
  }

  StatsSources sources() {
    return {metadata, page_map, page_heap, central, registry, &arenas, &background, &limits};
  }

  os::KernelMemory memory;
  os::MonotonicClock clock;
  MetadataAllocator metadata{memory};
  PageMap page_map{memory};
  os::KernelFiles files;
  os::KernelNodeFacts node_facts;
  NodeHeaps page_heap{memory, clock, metadata, page_map, node_facts};
  ArenaSet arenas{Heap{metadata, page_map, page_heap, &Die}};
  PerCpuCentral central{Heap{metadata, page_map, page_heap, &Die, &arenas}};
  CacheBudget budget;
  ThreadCache empty_cache;
  ThreadRegistry registry{CacheContext{central, metadata, budget, clock, &empty_cache, &arenas}};
  os::ControlGroups::Texts group_texts;
  os::ControlGroups groups{files, group_texts};
  os::GroupMemory group_memory{groups};
  MemoryLimits limits{page_heap, central, metadata, page_map, group_memory, clock};
  BackgroundThread background{page_heap, central, registry, limits, clock};

 private:
  // Where sanitizers have neither their shadow nor their own heap.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  static constexpr uintptr_t kFirstBase = uintptr_t{1} << 37;
#else
  static constexpr uintptr_t kFirstBase = (uintptr_t{1} << 45) + (uintptr_t{1} << 40);
#endif
#endif
  static constexpr uintptr_t kRegion = uintptr_t{4} << 30;

  static void Die(const BadPointer&) {
    std::fprintf(stderr, "a bad pointer\n");
    std::abort();
  }
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_TELEMETRY_TEST_HEAP_H_

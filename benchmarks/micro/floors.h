// SPDX-License-Identifier: Apache-2.0
//
// The allocator's floors over the kernel's memory, wired as the library wires them, for the
// benchmarks of single floors. The benchmark program itself runs on the system's malloc.
#ifndef SPANMALLOC_BENCHMARKS_MICRO_FLOORS_H_
#define SPANMALLOC_BENCHMARKS_MICRO_FLOORS_H_

#include <cstdlib>

#include "allocator/cache/thread_registry.h"
#include "allocator/central/per_cpu_central.h"
#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/node_heaps.h"
#include "allocator/heap/page_map.h"
#include "allocator/os/clock.h"
#include "allocator/os/current_cpu.h"
#include "allocator/os/numa_nodes.h"
#include "allocator/os/virtual_memory.h"

namespace spanmalloc {

struct Floors {
  Floors() {
    constexpr uintptr_t kBlock = uintptr_t{1} << kHeapAddressBit;
    os::DetectCpuNumberSource();
    budget.Init(int64_t{64} << 20);
    if (!page_map.Init(kWindowSize) ||
        !page_heap.Init(kBlock + kHugePageSize, kBlock + kWindowSize)) {
      abort();
    }
  }

  // One set for the process: the heap's place is fixed.
  static Floors& Get() {
    static Floors* floors = new Floors();
    return *floors;
  }

  os::KernelMemory memory;
  os::MonotonicClock clock;
  MetadataAllocator metadata{memory};
  PageMap page_map{memory};
  os::KernelNodeFacts node_facts;
  NodeHeaps page_heap{memory, clock, metadata, page_map, node_facts};
  PerCpuCentral central{Heap{metadata, page_map, page_heap, [](const BadPointer&) { abort(); }}};
  CacheBudget budget;
  ThreadCache empty_cache;
  ThreadRegistry registry{CacheContext{central, metadata, budget, clock, &empty_cache}};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_BENCHMARKS_MICRO_FLOORS_H_

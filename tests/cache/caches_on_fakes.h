// SPDX-License-Identifier: Apache-2.0
//
// The cache floor over central lists and a heap on fakes.
#ifndef SPANMALLOC_TESTS_CACHE_CACHES_ON_FAKES_H_
#define SPANMALLOC_TESTS_CACHE_CACHES_ON_FAKES_H_

#include "allocator/cache/memory_limits.h"
#include "allocator/cache/thread_registry.h"
#include "allocator/cache/thread_state.h"
#include "tests/central/central_on_fakes.h"

namespace spanmalloc {

struct CachesOnFakes : CentralOnFakes {
  static constexpr int64_t kBudget = int64_t{4} << 20;

  explicit CachesOnFakes(int64_t bytes = kBudget) { budget.Init(bytes); }

  // As malloc and free use a cache.
  void* Allocate(ThreadState* state, size_t c, bool* zeroed = nullptr) {
    bool unused;
    if (zeroed == nullptr) zeroed = &unused;
    *zeroed = false;
    void* object = state->cache.Pop(c);
    return object != nullptr ? object : state->Refill(c, zeroed);
  }
  void Free(ThreadState* state, size_t c, void* object) {
    if (!state->cache.Push(c, object)) state->Overflow(c, object);
  }

  // Objects that neither the central floor nor, by its own count, `cached` holds.
  size_t Outside(size_t c, size_t cached) {
    const CentralFreeListStats stats = central.Stats(static_cast<SizeClass>(c));
    return stats.taken - stats.returned - cached;
  }

  CacheBudget budget;
  ThreadCache empty_cache;
  CacheContext context{central, metadata, budget, clock, &empty_cache, &arenas};
  ThreadRegistry registry{context};
  os::ControlGroups::Texts group_texts;
  os::ControlGroups groups{files, group_texts};
  os::GroupMemory group_memory{groups};
  MemoryLimits limits{node_heaps, central, metadata, page_map, group_memory, clock};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_CACHE_CACHES_ON_FAKES_H_

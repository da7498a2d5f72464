// SPDX-License-Identifier: Apache-2.0
//
// The cache floor over central lists and a heap on fakes, and a thread that uses it.
#ifndef SPANMALLOC_TESTS_CACHE_CACHES_ON_FAKES_H_
#define SPANMALLOC_TESTS_CACHE_CACHES_ON_FAKES_H_

#include <vector>

#include "allocator/cache/memory_limits.h"
#include "allocator/cache/thread_locals.h"
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

// A thread with a cache: its variables, and its malloc and free as they go in fast and slow paths.
class CachingThread {
 public:
  explicit CachingThread(CachesOnFakes& on) : on_(on), locals_{&on.empty_cache, nullptr, 0, false} {
    SlowPath([&] { locals_.state = on_.registry.Create(&locals_); });
  }
  ~CachingThread() {
    SlowPath([&] {
      on_.registry.Destroy(locals_.state);
      locals_.state = nullptr;
    });
  }

  void* Allocate(size_t c) {
    void* object = RelaxedLoad(locals_.cache)->Pop(c);
    if (object != nullptr) return object;
    SlowPath([&] {
      state().UseCache();
      object = on_.Allocate(&state(), c);
    });
    return object;
  }
  void Free(size_t c, void* object) {
    if (RelaxedLoad(locals_.cache)->Push(c, object)) return;
    SlowPath([&] {
      state().UseCache();
      on_.Free(&state(), c, object);
    });
  }

  void Begin() { BeginSlowPath(locals_, &on_.empty_cache); }
  void End() { EndSlowPath(locals_, &on_.empty_cache); }
  template <typename Work>
  void SlowPath(Work work) {
    Begin();
    work();
    End();
  }

  // Leaves `count` objects or so on a stack.
  void Fill(size_t c, size_t count) {
    std::vector<void*> objects;
    for (size_t i = 0; i < 4 * count; ++i) objects.push_back(Allocate(c));
    for (void* object : objects) Free(c, object);
    while (Held(c) > count) {
      void* object = Allocate(c);
      on_.central.InsertInSpans(static_cast<SizeClass>(c), &object, 1);
    }
  }
  size_t Held(size_t c) {
    size_t counts[kSizeClassEnd] = {};
    state().AddCounts(counts);
    return counts[c];
  }

  bool has_cache() const { return RelaxedLoad(locals_.cache) == &locals_.state->cache; }
  bool counts() const { return RelaxedLoad(locals_.counting); }
  ThreadState& state() { return *locals_.state; }
  ThreadLocals& locals() { return locals_; }

 private:
  CachesOnFakes& on_;
  ThreadLocals locals_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_CACHE_CACHES_ON_FAKES_H_

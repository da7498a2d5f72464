// SPDX-License-Identifier: Apache-2.0
//
// What the control floor steers: the floors whose numbers it reads, and the actions that only the
// entry points' floor can do, as function pointers that it fills in. Any of them may be nullptr:
// the names that need it then answer as if the feature were absent.
//
// flush_thread_cache, the purges and what makes, resets, flushes or destroys an arena or a cache
// are called with no lock held; the others inside run_inside, with the control lock held.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_CONTROL_TARGET_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_CONTROL_TARGET_H_

#include <cstddef>
#include <cstdint>

#include "allocator/cache/thread_counts.h"
#include "allocator/params/options.h"
#include "allocator/telemetry/stats_snapshot.h"

namespace spanmalloc {

// Arenas are named by index; these two indices stand for several.
inline constexpr unsigned kAllArenas = 4096;
inline constexpr unsigned kDestroyedArenas = 4097;

struct ControlTarget {
  StatsSources sources;
  const Options& options;

  // Makes the allocator usable; false if that fails.
  bool (*initialize)() = nullptr;

  // Runs work(argument) with the calling thread marked as being inside the allocator, so that a
  // signal handler which allocates keeps off the locks. False, and nothing run, if the thread is
  // inside the allocator already.
  bool (*run_inside)(void (*work)(void* argument), void* argument) = nullptr;

  // The calling thread's cache: returns what it holds; whether it has one; gives it one or not
  // (false if that fails).
  void (*flush_thread_cache)() = nullptr;
  bool (*thread_cache_enabled)() = nullptr;
  bool (*enable_thread_cache)(bool enabled) = nullptr;

  // The calling thread's counts; it counts its calls from now on. nullptr if there is no memory for
  // that.
  ThreadCounts* (*thread_counts)() = nullptr;
  // Whether it counts them, and to change that (false if that fails).
  bool (*thread_counting)() = nullptr;
  bool (*set_thread_counting)(bool counting) = nullptr;

  // Adds what its cache holds of each class, and how many it may, as ThreadState::AddCounts.
  void (*thread_cache_depth)(size_t* objects, size_t* limits) = nullptr;

  // Gives all free memory, that in the central free lists included, back to the kernel. Returns
  // how many bytes.
  size_t (*purge)() = nullptr;

  // The same for one arena alone, 0 for the automatic one.
  void (*purge_arena)(unsigned index) = nullptr;

  // Changes for how long the automatic arena keeps free memory; -1 is for ever, 0 not at all.
  void (*set_dirty_decay_ms)(int64_t ms) = nullptr;

  // How many times realloc was asked for size 0.
  uint64_t (*zero_reallocs)() = nullptr;

  // Arenas made by the program. Results of type int are errno numbers. Arena 0 always exists.
  unsigned (*arena_count)() = nullptr;
  bool (*arena_initialized)(unsigned index) = nullptr;
  int (*arena_create)(const ArenaSettings& settings, unsigned* index) = nullptr;
  int (*arena_destroy)(unsigned index) = nullptr;
  int (*arena_reset)(unsigned index) = nullptr;
  // The arena that the calling thread allocates from.
  unsigned (*thread_arena)() = nullptr;
  int (*set_thread_arena)(unsigned index) = nullptr;

  // Caches made by the program. Results are errno numbers.
  int (*cache_create)(unsigned* index) = nullptr;
  int (*cache_flush)(unsigned index) = nullptr;
  int (*cache_destroy)(unsigned index) = nullptr;

  template <typename Work>
  bool RunInside(Work work) const {
    if (run_inside == nullptr) {
      work();
      return true;
    }
    return run_inside([](void* argument) { (*static_cast<Work*>(argument))(); }, &work);
  }
  bool Initialize() const { return initialize == nullptr || initialize(); }
  unsigned ArenaCount() const { return arena_count == nullptr ? 1 : arena_count(); }
  bool ArenaInitialized(size_t index) const {
    if (index == 0) return true;
    return index < ArenaCount() && arena_initialized != nullptr &&
           arena_initialized(static_cast<unsigned>(index));
  }
  bool ThreadCacheEnabled() const {
    return thread_cache_enabled == nullptr || thread_cache_enabled();
  }
  ThreadCounts* ThreadCountsOrNull() const {
    return thread_counts == nullptr ? nullptr : thread_counts();
  }
  bool ThreadCounting() const { return thread_counting != nullptr && thread_counting(); }
  uint64_t ZeroReallocs() const { return zero_reallocs == nullptr ? 0 : zero_reallocs(); }
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_CONTROL_TARGET_H_

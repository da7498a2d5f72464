// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/control_instance.h"

#include <errno.h>

#include <string_view>

#include "allocator/api/arena_hooks.h"
#include "allocator/api/block_filling.h"
#include "allocator/api/build_names.h"
#include "allocator/api/exported.h"
#include "allocator/api/purge.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/api/zero_realloc.h"
#include "allocator/control/load_options.h"
#include "allocator/os/raw_output.h"
#include "allocator/params/span_shapes.h"
#include "allocator/telemetry/corruption_report.h"

// jemalloc. Options of the program, which may define the symbols itself.
extern "C" __attribute__((weak)) SPANMALLOC_EXPORT const char* malloc_conf;
extern "C" __attribute__((weak)) SPANMALLOC_EXPORT const char* malloc_conf_2_conf_harder;
const char* malloc_conf = nullptr;
const char* malloc_conf_2_conf_harder = nullptr;

namespace spanmalloc {

constinit Options options;

namespace {

bool InitializeRuntime() {
  if (thread_locals.depth != 0) return true;  // a slow path that it interrupted initialises it
  SlowPathScope scope;
  return runtime.EnsureInitialized();
}

bool RunInSlowPath(void (*work)(void*), void* argument) {
  SlowPathScope scope;
  if (scope.nested()) return false;
  work(argument);
  return true;
}

// A thread that gave its cache up is as one that has ended.
bool ThreadCacheEnabled() { return options.tcache && !thread_locals.ended; }

bool EnableThreadCache(bool enabled) {
  if (enabled && !options.tcache) return false;
  if (enabled) {
    thread_locals.ended = false;
  } else {
    runtime.EndThread();
  }
  return true;
}

void AddThreadCacheDepth(size_t* objects, size_t* limits) {
  ThreadState* own = thread_locals.state;
  if (own == nullptr) return;
  own->AddCounts(objects, limits);
  if (own->of_arena != nullptr) own->of_arena->AddCounts(objects, limits);
}

ThreadCounts* CountThread() {
  return Runtime::Counts() || runtime.SetCounting(true) ? thread_locals.counts : nullptr;
}

bool SetThreadCounting(bool counting) { return runtime.SetCounting(counting); }

// jemalloc's answers: EAGAIN where an arena can't be made, EFAULT where there is none to steer.
int CreateArena(const ArenaSettings& settings, unsigned* index) {
  SlowPathScope scope;
  runtime.page_heap.SetHookRunner(&RunArenaHook);
  return !scope.nested() && runtime.arenas.Create(settings, index) ? 0 : EAGAIN;
}

int DestroyArena(unsigned index) {
  SlowPathScope scope;
  if (scope.nested()) return EFAULT;
  runtime.explicit_caches.FlushArena(index);
  return runtime.arenas.Destroy(index) ? 0 : EFAULT;
}

int ResetArena(unsigned index) {
  SlowPathScope scope;
  if (scope.nested()) return EFAULT;
  runtime.explicit_caches.FlushArena(index);
  return runtime.arenas.Reset(index) ? 0 : EFAULT;
}

int CreateCache(unsigned* index) {
  SlowPathScope scope;
  return !scope.nested() && runtime.explicit_caches.Create(index) ? 0 : EFAULT;
}

int FlushCache(unsigned index) {
  SlowPathScope scope;
  return !scope.nested() && runtime.explicit_caches.Flush(index) ? 0 : EFAULT;
}

int DestroyCache(unsigned index) {
  SlowPathScope scope;
  return !scope.nested() && runtime.explicit_caches.Destroy(index) ? 0 : EFAULT;
}

// Inside the allocator (see ControlTarget::run_inside).
int BindThread(unsigned index) { return runtime.BindThread(index) ? 0 : EFAULT; }

// Without libc's strlen: at the start no page is touched for it.
bool Is(const char* text, const char* wanted) {
  while (*text == *wanted && *text != '\0') ++text, ++wanted;
  return *text == *wanted;
}

HugePageWish WishFor(const char* thp) {
  if (Is(thp, "never")) return HugePageWish::kNever;
  return Is(thp, "always") ? HugePageWish::kAlways : HugePageWish::kOnEvidence;
}

GroupLimits UseOfGroups(const char* cgroup_memory) {
  if (Is(cgroup_memory, "ignore")) return GroupLimits::kIgnore;
  return Is(cgroup_memory, "refuse") ? GroupLimits::kRefuse : GroupLimits::kReclaim;
}

constinit ControlNumbers numbers;

constinit Control instance(
    {
        .sources = {runtime.metadata, runtime.page_map, runtime.page_heap, runtime.central,
                    runtime.registry, &runtime.arenas, &runtime.background, &runtime.limits,
                    &library_image, &runtime.explicit_caches, &runtime.counts, &runtime.regions},
        .options = options,
        .initialize = &InitializeRuntime,
        .run_inside = &RunInSlowPath,
        .flush_thread_cache = &FlushThreadCache,
        .thread_cache_enabled = &ThreadCacheEnabled,
        .enable_thread_cache = &EnableThreadCache,
        .thread_counts = &CountThread,
        .thread_counting = &Runtime::Counts,
        .set_thread_counting = &SetThreadCounting,
        .thread_cache_depth = &AddThreadCacheDepth,
        .purge = &PurgeAll,
        .purge_arena = &PurgeArena,
        .set_dirty_decay_ms = [](int64_t ms) { runtime.page_heap.SetDecay(ms); },
        .zero_reallocs = &ZeroReallocCount,
        .arena_count = [] { return runtime.arenas.end(); },
        .arena_initialized = [](unsigned index) { return runtime.arenas.Exists(index); },
        .arena_create = &CreateArena,
        .arena_destroy = &DestroyArena,
        .arena_reset = &ResetArena,
        .thread_arena = [] { return unsigned{thread_locals.arena}; },
        .set_thread_arena = &BindThread,
        .cache_create = &CreateCache,
        .cache_flush = &FlushCache,
        .cache_destroy = &DestroyCache,
    },
    numbers);

}  // namespace

Control& control() { return instance; }

void LoadControl() {
  LoadOptions(NamesOfSources(), malloc_conf, malloc_conf_2_conf_harder, &options);
  if (!Is(options.slab_sizes.text, "default")) SetSpanLengths(options.slab_sizes.text);
  SetAbortOnError(options.abort_on_error);
  runtime.page_heap.SetDirtyLimit(options.dirty_limit, options.dirty_limit_percent);
  runtime.page_heap.SetHugePageWish(WishFor(options.thp));
  if (options.perturb != 0) {
    filling_byte.store(static_cast<uint8_t>(options.perturb), std::memory_order_relaxed);
  }
  if (options.stats_print || options.stats_interval >= 0) os::KeepStderr();
}

void StartControl() {
  instance.Start();
  runtime.limits.Start(options.soft_limit, options.hard_limit, UseOfGroups(options.cgroup_memory));
}

}  // namespace spanmalloc

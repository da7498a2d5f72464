// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/fork_handlers.h"

#include "allocator/api/arena_hooks.h"
#include "allocator/api/control_instance.h"
#include "allocator/api/runtime.h"
#include "allocator/os/lock_stats.h"
#include "allocator/os/thread.h"

namespace spanmalloc {
namespace {

// Whether the fork comes from a signal handler that interrupted a slow path: its thread may hold
// any lock, so none can be waited for. The parent isn't touched, and the child may only exec.
bool InterruptedSlowPath() { return thread_locals.depth != 0; }

// The tables' locks are held all the while: no list is made.
template <typename Visit>
void ForEachListLock(Visit visit) {
  runtime.central.ForEachList([&visit](CentralFreeList& list) { visit(list.lock()); });
  runtime.arenas.ForEachList([&visit](CentralFreeList& list) { visit(list.lock()); });
}

void BeforeFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (InterruptedSlowPath()) return;
  HoldArenaHooks();
  control().LockForFork();
  runtime.limits.lock().Lock();
  runtime.registry.LockAll();
  runtime.explicit_caches.LockAll();
  runtime.central.table_lock().Lock();
  runtime.arenas.table_lock().Lock();
  ForEachListLock([](os::RankedLock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS { lock.Lock(); });
  runtime.page_heap.LockForFork();
  runtime.metadata.lock().Lock();
  runtime.regions.lock().Lock();
}

void InParent() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (InterruptedSlowPath()) return;
  runtime.regions.lock().Unlock();
  runtime.metadata.lock().Unlock();
  runtime.page_heap.UnlockAfterFork();
  ForEachListLock([](os::RankedLock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS { lock.Unlock(); });
  runtime.arenas.table_lock().Unlock();
  runtime.central.table_lock().Unlock();
  runtime.explicit_caches.UnlockAll();
  runtime.registry.UnlockAll();
  runtime.limits.lock().Unlock();
  control().UnlockForFork();
  LetArenaHooks();
}

void InChild() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (InterruptedSlowPath()) return;
  ForEachListLock([](os::RankedLock& lock) { lock.ResetAfterFork(); });
  runtime.arenas.table_lock().ResetAfterFork();
  runtime.central.table_lock().ResetAfterFork();
  runtime.page_heap.ResetAfterFork();
  ResetArenaHooksAfterFork();
  runtime.metadata.lock().ResetAfterFork();
  runtime.regions.lock().ResetAfterFork();
  runtime.explicit_caches.ResetAfterFork();
  runtime.arenas.ResetAfterFork(thread_locals.arena);
  runtime.registry.ResetAfterFork(thread_locals.state, thread_locals.shares);
  runtime.counts.ResetAfterFork(thread_locals.counts);
  runtime.background.ResetAfterFork();
  runtime.limits.lock().ResetAfterFork();
  os::ResetLockWaitsAfterFork();
  control().ResetAfterFork();
}

}  // namespace

void RegisterForkHandlers() {
  static bool registered = false;
  if (registered) return;
  registered = true;
  os::RegisterForkHandlers(&BeforeFork, &InParent, &InChild);
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/fork_handlers.h"

#include "allocator/api/arena_hooks.h"
#include "allocator/api/control_instance.h"
#include "allocator/api/runtime.h"
#include "allocator/api/thread_locals.h"
#include "allocator/os/lock_stats.h"
#include "allocator/os/thread.h"

namespace spanmalloc {
namespace {

// From before the fork until after it the thread is in a slow path, so that a signal handler, or a
// fork handler that runs between ours, waits for none of the locks.

// Whether the fork comes from a signal handler that interrupted a slow path: its thread may hold
// any lock, so none can be waited for. The parent isn't touched, and the child may only exec.
bool InterruptedSlowPath() { return thread_locals.depth > 1; }

// The tables' locks are held all the while: no list is made.
template <typename Visit>
void ForEachListLock(Visit visit) {
  runtime.central.ForEachList([&visit](CentralFreeList& list) { visit(list.lock()); });
  runtime.arenas.ForEachList([&visit](CentralFreeList& list) { visit(list.lock()); });
}

void LockAll() ABSL_NO_THREAD_SAFETY_ANALYSIS {
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

void UnlockAll() ABSL_NO_THREAD_SAFETY_ANALYSIS {
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

void ResetAll() ABSL_NO_THREAD_SAFETY_ANALYSIS {
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
  runtime.maintenance.ResetAfterFork();
  runtime.limits.lock().ResetAfterFork();
  os::ResetLockWaitsAfterFork();
  control().ResetAfterFork();
}

void BeforeFork() {
  BeginSlowPath(thread_locals, &empty_cache);
  if (!InterruptedSlowPath()) LockAll();
}

void InParent() {
  if (!InterruptedSlowPath()) UnlockAll();
  EndSlowPath(thread_locals, &empty_cache);
}

void InChild() {
  if (!InterruptedSlowPath()) ResetAll();
  EndSlowPath(thread_locals, &empty_cache);
}

}  // namespace

void RegisterForkHandlers() {
  static bool registered = false;
  if (registered) return;
  registered = true;
  os::RegisterForkHandlers(&BeforeFork, &InParent, &InChild);
}

}  // namespace spanmalloc

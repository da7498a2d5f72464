// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/purge.h"

#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/api/thread_locals.h"

namespace spanmalloc {
namespace {

void FlushOwnCache() {
  if (thread_locals.state != nullptr) thread_locals.state->FlushAll();
}

}  // namespace

void FlushThreadCache() {
  SlowPathScope scope;
  if (!scope.nested()) FlushOwnCache();
}

size_t PurgeAll() {
  SlowPathScope scope;
  if (scope.nested() || !runtime.EnsureInitialized()) return 0;
  FlushOwnCache();
  runtime.registry.ReturnKept();
  runtime.registry.cpu_caches().ReturnAll();
  runtime.central.Drain();
  size_t resident = 0;
  runtime.central.ReleaseAll(&resident);
  runtime.page_heap.Release(~size_t{0}, &resident);
  for (unsigned i = 1; i < runtime.arenas.end(); ++i) runtime.arenas.ReturnHooked(i, Wait::kYes);
  return resident;
}

void PurgeArena(unsigned arena) {
  SlowPathScope scope;
  if (scope.nested() || !runtime.EnsureInitialized()) return;
  FlushOwnCache();
  if (arena != 0) return runtime.arenas.Purge(arena);
  runtime.registry.cpu_caches().ReturnAll();
  runtime.central.Drain();
  runtime.central.ReleaseOwn();
  runtime.page_heap.ReleaseNodes(~size_t{0});
}

}  // namespace spanmalloc

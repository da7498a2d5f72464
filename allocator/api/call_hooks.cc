// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/call_hooks.h"

#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/cache/counting_threads.h"

namespace spanmalloc {

constinit CallHooks call_hooks;

void WantCallHooks() {
  SlowPathScope scope;
  if (scope.nested() || !runtime.EnsureInitialized()) return;
  if (call_hooks.wanted.exchange(true, std::memory_order_seq_cst)) return;
  runtime.counts.SetAll(true);
  runtime.SetCounting(true);
  MakeThreadsCount(runtime.registry);
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/counting_threads.h"

#include "allocator/os/process_barrier.h"
#include "allocator/os/thread.h"

namespace spanmalloc {
namespace {

// How often a thread is waited for that is in a slow path. It may be waiting for the registry.
constexpr int kLooks = 100;

}  // namespace

void MakeThreadsCount(ThreadRegistry& registry) {
  const bool has_barrier = os::RegisterProcessBarrier();
  os::LockHolder hold(registry.lock());
  registry.ForEach([](ThreadState* state) { state->AskToCount(); });
  if (!has_barrier || !os::ProcessBarrier()) return;
  bool all = false;
  for (int look = 0; !all && look < kLooks; ++look) {
    if (look != 0) os::Yield();
    all = true;
    registry.ForEach([&all](ThreadState* state) { all = state->HideCounted() && all; });
  }
}

}  // namespace spanmalloc

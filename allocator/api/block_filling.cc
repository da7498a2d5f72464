// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/block_filling.h"

#include <string.h>

#include "allocator/api/block_checks.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path.h"
#include "allocator/api/slow_path_scope.h"

namespace spanmalloc {

constinit std::atomic<uint8_t> filling_byte{0};

void FillAllocated(void* block, size_t size) {
  memset(block, filling_byte.load(std::memory_order_relaxed) ^ 0xff, size);
}

void FillFreed(void* block) {
  if (!IsBlock(block)) return;
  memset(block, filling_byte.load(std::memory_order_relaxed), UsableSize(block));
}

bool SetFilling(uint8_t byte) {
  SlowPathScope scope;
  if (scope.nested()) return false;
  if (byte != 0) {
    const size_t own = thread_locals.state != nullptr ? 1 : 0;
    if (runtime.registry.threads() > own) return false;
    // A thread without a cache gets none while blocks are filled.
    filling_byte.store(byte, std::memory_order_relaxed);
    const bool ended = thread_locals.ended;
    runtime.EndThread();
    thread_locals.ended = ended;
  }
  filling_byte.store(byte, std::memory_order_relaxed);
  return true;
}

}  // namespace spanmalloc

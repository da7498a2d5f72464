// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/zero_realloc.h"

#include <atomic>
#include <string_view>

#include "allocator/api/control_instance.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/slow_path.h"
#include "allocator/os/raw_output.h"

namespace spanmalloc {
namespace {

constinit std::atomic<uint64_t> count{0};

}  // namespace

void* ReallocateToZero(void* block) {
  count.fetch_add(1, std::memory_order_relaxed);
  const std::string_view choice = options.zero_realloc;
  if (choice == "alloc") return Reallocate(block, 1);
  if (choice == "abort") {
    os::DieWith("spanmalloc: realloc to size 0, which zero_realloc:abort forbids\n");
  }
  Deallocate(block);
  return nullptr;
}

uint64_t ZeroReallocCount() { return count.load(std::memory_order_relaxed); }

}  // namespace spanmalloc

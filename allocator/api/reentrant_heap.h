// SPDX-License-Identifier: Apache-2.0
//
// Where requests go that arrive while their thread is inside a slow path already: from a signal
// handler, or from something a slow path called. The heap's locks may be held then, by the very
// thread that asks. Allocations get a mapping each, entered in a small lock-free table; frees are
// put on a list and done when the slow path ends. Rare, and never on the way of anything else.
#ifndef SPANMALLOC_ALLOCATOR_API_REENTRANT_HEAP_H_
#define SPANMALLOC_ALLOCATOR_API_REENTRANT_HEAP_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/os/virtual_memory.h"

namespace spanmalloc {

class ReentrantHeap {
 public:
  struct Entry {
    std::atomic<uintptr_t> start{0};
    std::atomic<size_t> size{0};
  };
  // All zero at first.
  using Table = std::array<Entry, 256>;

  constexpr ReentrantHeap(os::VirtualMemory& memory, Table& table)
      : memory_(memory), entries_(table) {}

  // A mapping of `size` zero bytes aligned to `alignment` (a power of two); nullptr if the kernel
  // refuses or the table is full. Async-signal-safe.
  void* Allocate(size_t size, size_t alignment);

  // Frees `block` if it is one of these mappings; false if it isn't. Async-signal-safe.
  bool Free(void* block);

  // The usable bytes of `block`; 0 if it isn't one of these mappings.
  size_t UsableSize(const void* block) const;

  // Puts a block of the ordinary heap aside, to be freed by TakeDeferred's caller. The link is
  // written into the block, whose owner has let go of it. Async-signal-safe.
  void Defer(void* block);

  // The first of the blocks put aside; each holds the address of the next. nullptr if there are
  // none.
  void* TakeDeferred() {
    if (deferred_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    // Acquire: pairs with the release in Defer.
    return deferred_.exchange(nullptr, std::memory_order_acquire);
  }

 private:
  static constexpr uintptr_t kClaimed = 1;  // an entry that is being filled in

  const Entry* Find(const void* block) const;

  os::VirtualMemory& memory_;
  std::atomic<size_t> used_{0};
  std::atomic<void*> deferred_{nullptr};
  Table& entries_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_REENTRANT_HEAP_H_

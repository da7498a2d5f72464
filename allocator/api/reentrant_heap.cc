// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/reentrant_heap.h"

#include "allocator/params/memory_geometry.h"

namespace spanmalloc {

void* ReentrantHeap::Allocate(size_t size, size_t alignment) {
  const size_t page = memory_.PageSize();
  if (size > kMaxRequest - page || alignment > kMaxRequest - page - size) return nullptr;
  const size_t bytes = RoundUp(size == 0 ? 1 : size, page);
  const size_t slack = alignment > page ? alignment : 0;
  Entry* entry = nullptr;
  for (Entry& candidate : entries_) {
    uintptr_t expected = 0;
    // Acquire: pairs with the release in Free.
    if (candidate.start.compare_exchange_strong(expected, kClaimed, std::memory_order_acquire,
                                                std::memory_order_relaxed)) {
      entry = &candidate;
      break;
    }
  }
  if (entry == nullptr) return nullptr;
  auto start = reinterpret_cast<uintptr_t>(memory_.Map(bytes + slack));
  if (start == 0) {
    entry->start.store(0, std::memory_order_relaxed);
    return nullptr;
  }
  const uintptr_t aligned = slack == 0 ? start : RoundUp(start, alignment);
  if (aligned != start) memory_.Unmap(reinterpret_cast<void*>(start), aligned - start);
  const size_t tail = start + bytes + slack - (aligned + bytes);
  if (tail != 0) memory_.Unmap(reinterpret_cast<void*>(aligned + bytes), tail);
  used_.fetch_add(1, std::memory_order_relaxed);
  entry->size.store(bytes, std::memory_order_relaxed);
  // Release: pairs with the acquire in Find.
  entry->start.store(aligned, std::memory_order_release);
  return reinterpret_cast<void*>(aligned);
}

const ReentrantHeap::Entry* ReentrantHeap::Find(const void* block) const {
  if (used_.load(std::memory_order_relaxed) == 0) return nullptr;
  for (const Entry& entry : entries_) {
    // Acquire: pairs with the release in Allocate.
    if (entry.start.load(std::memory_order_acquire) == reinterpret_cast<uintptr_t>(block)) {
      return &entry;
    }
  }
  return nullptr;
}

bool ReentrantHeap::Free(void* block) {
  auto* entry = const_cast<Entry*>(Find(block));
  if (entry == nullptr) return false;
  const size_t bytes = entry->size.load(std::memory_order_relaxed);
  auto start = reinterpret_cast<uintptr_t>(block);
  // Once it is unmapped the kernel may give its place to another block. Release: pairs with the
  // acquire in Allocate.
  if (!entry->start.compare_exchange_strong(start, 0, std::memory_order_release,
                                            std::memory_order_relaxed)) {
    return false;
  }
  used_.fetch_sub(1, std::memory_order_relaxed);
  memory_.Unmap(block, bytes);
  return true;
}

size_t ReentrantHeap::UsableSize(const void* block) const {
  const Entry* entry = Find(block);
  return entry == nullptr ? 0 : entry->size.load(std::memory_order_relaxed);
}

void ReentrantHeap::Defer(void* block) {
  void* head = deferred_.load(std::memory_order_relaxed);
  do {
    *static_cast<void**>(block) = head;
    // Release: pairs with the acquire in TakeDeferred.
  } while (!deferred_.compare_exchange_weak(head, block, std::memory_order_release,
                                            std::memory_order_relaxed));
}

}  // namespace spanmalloc

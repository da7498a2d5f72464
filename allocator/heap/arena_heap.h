// SPDX-License-Identifier: Apache-2.0
//
// The page heap of an explicit arena, over whole huge pages that the nodes' heaps lend it, so that
// no huge page holds blocks of two arenas; or over the memory that the program's extent hooks give.
// Made when the arena first needs pages, and kept for the next arena of its number once that is
// destroyed.
//
// Owned by NodeHeaps. Its lock is taken ahead of the lending heap's.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_ARENA_HEAP_H_
#define SPANMALLOC_ALLOCATOR_HEAP_ARENA_HEAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/heap/hooked_memory.h"
#include "allocator/heap/huge_page_source.h"
#include "allocator/heap/page_heap.h"

namespace spanmalloc {

class NodeHeaps;

class ArenaHeap final : public HugePageSource {
 public:
  // For arena `number`. `like`: the heap that lends and is watched, over the same.
  ArenaHeap(NodeHeaps& lenders, PageHeap& like, PageMap& page_map, uint16_t number)
      : lenders_(lenders),
        number_(number),
        memory_(lenders, like.memory(), page_map, number),
        heap_(like, memory_, LockRank::kArenaHeap, &like) {}

  // False if the kernel refuses memory.
  bool Init(uintptr_t block) { return heap_.InitOver(this, block); }

  PageHeap& heap() { return heap_; }
  // Where its memory comes from if the program provides it.
  HookedMemory& memory() { return memory_; }

  HugeRun Acquire(size_t count, size_t alignment) override;
  HugeRun AcquireAt(size_t index, size_t count) override;
  void Return(const HugeRun& run) override;

 private:
  NodeHeaps& lenders_;
  const uint16_t number_;
  HookedMemory memory_;
  PageHeap heap_;
};

// All of them, and which one has a huge page. Memory that reads as zeros is one without any.
struct ArenaHeaps {
  static constexpr unsigned kMax = 1024;

  // By the arena's number; [0] is unused. Once made they stay.
  std::atomic<ArenaHeap*> heaps[kMax];
  // Written with the making of a heap or its use excluded.
  int64_t decay_ms[kMax];
  std::atomic<unsigned> end;  // those with a number below may exist
  // By index in the window: the number of the arena; 0 for a node's heap.
  std::atomic<uint16_t> owners[kWindowHugePages];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_ARENA_HEAP_H_

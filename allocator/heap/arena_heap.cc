// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/arena_heap.h"

#include <new>

#include "allocator/heap/node_heaps.h"

namespace spanmalloc {

HugeRun ArenaHeap::Acquire(size_t count, size_t alignment) {
  const HugeRun run = lenders_.Lender().Lend(count, alignment);
  lenders_.NoteOwner(run, number_);
  return run;
}

HugeRun ArenaHeap::AcquireAt(size_t index, size_t count) {
  const HugeRun run = lenders_.LenderOf(index).LendAt(index, count);
  lenders_.NoteOwner(run, number_);
  return run;
}

void ArenaHeap::Return(const HugeRun& run) {
  lenders_.NoteOwner(run, 0);
  // Of several nodes, perhaps.
  for (size_t done = 0; done < run.count;) {
    PageHeap& lender = lenders_.LenderOf(run.index + done);
    HugeRun part = run;
    part.index += done;
    part.count = 1;
    while (done + part.count < run.count &&
           &lenders_.LenderOf(part.index + part.count) == &lender) {
      ++part.count;
    }
    lender.TakeBack(part);
    done += part.count;
  }
}

bool NodeHeaps::AdmitArenas() {
  os::LockHolder hold(making_);
  if (ArenasOrNull() != nullptr) return true;
  os::VirtualMemory& kernel = first_.memory();
  void* memory = kernel.Map(RoundUp(sizeof(ArenaHeaps), kernel.PageSize()));
  if (memory == nullptr) return false;
  // Release: pairs with the acquire in ArenasOrNull. Constructing it would touch all of it.
  arenas_.store(static_cast<ArenaHeaps*>(memory), std::memory_order_release);
  several_.store(true, std::memory_order_relaxed);
  return true;
}

PageHeap* NodeHeaps::ArenaHeapAt(unsigned number) const {
  ArenaHeaps* arenas = ArenasOrNull();
  if (arenas == nullptr) return nullptr;
  // Acquire: pairs with the release in MakeArenaHeap.
  ArenaHeap* heap = arenas->heaps[number].load(std::memory_order_acquire);
  return heap == nullptr ? nullptr : &heap->heap();
}

PageHeap* NodeHeaps::MakeArenaHeap(unsigned number) {
  os::LockHolder hold(making_);
  if (PageHeap* made = ArenaHeapAt(number)) return made;
  ArenaHeaps* arenas = ArenasOrNull();
  MetadataAllocator& metadata = first_.metadata();
  void* memory = arenas == nullptr ? nullptr : metadata.Allocate(sizeof(ArenaHeap));
  if (memory == nullptr) return nullptr;
  auto* arena = new (memory) ArenaHeap(*this, first_, static_cast<uint16_t>(number));
  if (!arena->Init(first_.base() & ~(uintptr_t{kWindowSize} - 1))) {
    metadata.Free(memory, sizeof(ArenaHeap));
    return nullptr;
  }
  arena->heap().SetDecay(arenas->decay_ms[number]);
  arena->heap().SetHugePageWish(wish_);
  ApplyDirtyLimit(arena->heap());
  // Release: pairs with the acquire in ArenaHeapAt.
  arenas->heaps[number].store(arena, std::memory_order_release);
  if (number >= arenas->end.load(std::memory_order_relaxed)) {
    arenas->end.store(number + 1, std::memory_order_relaxed);
  }
  ShareLimits(nullptr);
  return &arena->heap();
}

void NodeHeaps::SetArenaDecay(unsigned number, int64_t ms) {
  os::LockHolder hold(making_);
  ArenasOrNull()->decay_ms[number] = ms;
  if (PageHeap* heap = ArenaHeapAt(number)) heap->SetDecay(ms);
}

PageHeapStats NodeHeaps::ArenaStats(unsigned number, LargeClassStats* large_classes) {
  PageHeap* heap = ArenaHeapAt(number);
  return heap == nullptr ? PageHeapStats{} : heap->Stats(large_classes);
}

void NodeHeaps::NoteOwner(const HugeRun& run, uint16_t number) {
  ArenaHeaps* arenas = ArenasOrNull();
  for (size_t i = run.index; i < run.index + run.count; ++i) {
    arenas->owners[i].store(number, std::memory_order_relaxed);
  }
  if (number != 0 && run.count != 0) has_lent_.store(true, std::memory_order_relaxed);
}

}  // namespace spanmalloc

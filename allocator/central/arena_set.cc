// SPDX-License-Identifier: Apache-2.0
#include "allocator/central/arena_set.h"

namespace spanmalloc {

bool ArenaSet::Create(unsigned* index) {
  os::LockHolder hold(table_lock_);
  unsigned free_index = 1;
  while (free_index < kMaxArenas && Find(free_index) != nullptr) ++free_index;
  if (free_index == kMaxArenas) return false;
  auto* arena = heap_.metadata.New<Arena>();
  if (arena == nullptr) return false;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    arena->lists[c].Init(static_cast<SizeClass>(c), OwnerOf(free_index), InPageMap::kNo);
  }
  // Release: pairs with the acquire in Find.
  arenas_[free_index].store(arena, std::memory_order_release);
  if (free_index >= end()) end_.store(free_index + 1, std::memory_order_relaxed);
  *index = free_index;
  return true;
}

bool ArenaSet::Reset(unsigned index) {
  os::LockHolder hold(table_lock_);
  Arena* arena = Find(index);
  if (arena == nullptr) return false;
  for (size_t c = 1; c < kSizeClassEnd; ++c) arena->lists[c].Forget();
  heap_.page_heap.FreeSpansOf(OwnerOf(index));
  return true;
}

bool ArenaSet::Destroy(unsigned index) {
  if (!Reset(index)) return false;
  os::LockHolder hold(table_lock_);
  Arena* arena = Find(index);
  if (arena == nullptr) return false;
  arenas_[index].store(nullptr, std::memory_order_relaxed);
  heap_.metadata.Delete(arena);
  return true;
}

void* ArenaSet::Allocate(unsigned index, size_t size_class, size_t size, size_t alignment,
                         bool* zeroed) {
  Arena* arena = Find(index);
  if (arena == nullptr) return nullptr;
  if (size_class != kNoSizeClass) {
    void* object = nullptr;
    arena->lists[size_class].RemoveOrCarve(heap_, &object, 1, zeroed);
    return object;
  }
  Span* span = heap_.page_heap.AllocateLarge(PagesFor(size), alignment);
  if (span == nullptr) return nullptr;
  span->shard.store(OwnerOf(index), std::memory_order_relaxed);
  *zeroed = span->zeroed;
  return reinterpret_cast<void*>(span->start);
}

void ArenaSet::Free(Span* span, void* object) {
  Arena* arena = Find(span->shard.load(std::memory_order_relaxed) - PerCpuCentral::kMaxShards);
  if (arena == nullptr) return;
  CentralFreeList& list = arena->lists[span->size_class];
  list.NoteReturned(1);
  ObjectRun run = {span, 0, 1};
  list.PutOwned(heap_, &object, &run, 1);
}

void ArenaSet::AddStats(SizeClass size_class, CentralFreeListStats* stats) {
  for (unsigned i = 1; i < end(); ++i) {
    if (Arena* arena = Find(i)) arena->lists[size_class].AddStats(stats);
  }
}

}  // namespace spanmalloc

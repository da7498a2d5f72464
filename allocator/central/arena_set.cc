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
  FreeBatch(span->shard.load(std::memory_order_relaxed) - unsigned{PerCpuCentral::kMaxShards},
            span->size_class, &object, 1);
}

size_t ArenaSet::AllocateBatch(unsigned index, SizeClass size_class, void** out, size_t want,
                               bool* zeroed) {
  Arena* arena = Find(index);
  return arena == nullptr ? 0 : arena->lists[size_class].RemoveOrCarve(heap_, out, want, zeroed);
}

void ArenaSet::FreeBatch(unsigned index, SizeClass size_class, void* const* objects, size_t count) {
  Arena* arena = Find(index);
  if (arena == nullptr) return;
  for (size_t done = 0; done < count; done += PerCpuCentral::kMaxBatch) {
    const size_t left = count - done;
    PutBatch(arena->lists[size_class], objects + done,
             left < PerCpuCentral::kMaxBatch ? left : PerCpuCentral::kMaxBatch);
  }
}

// Neighbours of one span are put back together.
void ArenaSet::PutBatch(CentralFreeList& list, void* const* objects, size_t count) {
  ObjectRun runs[PerCpuCentral::kMaxBatch];
  size_t end = 0;
  for (uint32_t i = 0; i < count; ++i) {
    Span* span = heap_.page_map.SpanOf(objects[i]);
    if (span == nullptr || span->shard.load(std::memory_order_relaxed) != list.shard()) {
      list.ReportFreed(heap_, objects[i]);
    } else if (end != 0 && runs[end - 1].span == span && runs[end - 1].end == i) {
      runs[end - 1].end = i + 1;
    } else {
      runs[end++] = {span, i, i + 1};
    }
  }
  list.NoteReturned(count);
  list.PutOwned(heap_, objects, runs, end);
}

void ArenaSet::AddStats(SizeClass size_class, CentralFreeListStats* stats) {
  for (unsigned i = 1; i < end(); ++i) {
    if (Arena* arena = Find(i)) arena->lists[size_class].AddStats(stats);
  }
}

}  // namespace spanmalloc

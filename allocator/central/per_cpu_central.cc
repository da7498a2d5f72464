// SPDX-License-Identifier: Apache-2.0
#include "allocator/central/per_cpu_central.h"

#include "allocator/central/arena_set.h"
#include "allocator/os/current_cpu.h"

namespace spanmalloc {

CentralFreeList* PerCpuCentral::HomeList(SizeClass size_class) {
  const size_t index = os::CurrentCpu() % kMaxShards;
  CentralFreeList* list = ListAt(index, size_class);
  return ABSL_PREDICT_TRUE(list != nullptr) ? list : MakeList(index, size_class);
}

CentralFreeList* PerCpuCentral::MakeList(size_t index, SizeClass size_class) {
  os::LockHolder hold(table_lock_);
  CentralFreeList* list = ListAt(index, size_class);
  if (list != nullptr) return list;
  Shard* shard = MakeShard(index);
  if (shard != nullptr) list = heap_.metadata.New<CentralFreeList>();
  if (list == nullptr) {
    for (size_t i = 0; i < shards() && list == nullptr; ++i) list = ListAt(i, size_class);
    return list;
  }
  list->Init(size_class, static_cast<uint16_t>(index), InPageMap::kYes);
  // Release: pairs with the acquire in ListAt.
  shard->lists[size_class].store(list, std::memory_order_release);
  return list;
}

PerCpuCentral::Shard* PerCpuCentral::MakeShard(size_t index) {
  Shard* shard = shards_[index].load(std::memory_order_relaxed);
  if (shard != nullptr) return shard;
  shard = heap_.metadata.New<Shard>();
  if (shard == nullptr) return nullptr;
  // Release: pairs with the acquire in ListAt.
  shards_[index].store(shard, std::memory_order_release);
  if (index >= shards()) shard_end_.store(index + 1, std::memory_order_relaxed);
  return shard;
}

size_t PerCpuCentral::RemoveFromOthers(SizeClass size_class, const CentralFreeList* home,
                                       void** out, size_t want) {
  const uint32_t spare = kSizeClassTable[size_class].batch;
  for (size_t s = 0; s < shards(); ++s) {
    CentralFreeList* list = ListAt(s, size_class);
    if (list == nullptr || list == home || list->held_hint() <= spare) continue;
    const size_t taken = list->Remove(out, want, spare);
    if (taken != 0) return taken;
  }
  return 0;
}

size_t PerCpuCentral::Remove(SizeClass size_class, void** out, size_t want, bool* zeroed) {
  bool fresh = false;
  if (zeroed == nullptr) zeroed = &fresh;
  *zeroed = false;
  CentralFreeList* home = HomeList(size_class);
  if (home == nullptr) return 0;
  if (home->held_hint() != 0) {
    const size_t taken = home->Remove(out, want, 0);
    if (taken != 0) return taken;
  }
  const size_t taken = RemoveFromOthers(size_class, home, out, want);
  return taken != 0 ? taken : home->RemoveOrCarve(heap_, out, want, zeroed);
}

void PerCpuCentral::Insert(SizeClass size_class, void** objects, size_t count) {
  CentralFreeList* home = HomeList(size_class);
  const size_t fitted = home == nullptr ? 0 : home->Insert(heap_, objects, count);
  for (size_t done = fitted; done < count;) {
    const size_t chunk = count - done < kMaxBatch ? count - done : kMaxBatch;
    PutInSpans(size_class, objects + done, chunk);
    done += chunk;
  }
}

void PerCpuCentral::InsertInSpans(SizeClass size_class, void** objects, size_t count) {
  CentralFreeList* home = HomeList(size_class);
  if (home != nullptr) home->NoteReturned(count);
  PutInSpans(size_class, objects, count);
}

void PerCpuCentral::PutInSpans(SizeClass size_class, void** objects, size_t count) {
  Span* spans[kMaxBatch];
  Span* last = nullptr;  // of the class, and of no explicit arena
  for (size_t i = 0; i < count; ++i) {
    // Objects that were freed one after the other often lie in one span.
    if (last != nullptr && last->Contains(reinterpret_cast<uintptr_t>(objects[i]))) {
      spans[i] = last;
      continue;
    }
    Span* span = heap_.page_map.SpanOf(objects[i]);
    if (ABSL_PREDICT_TRUE(span != nullptr && span->size_class == size_class)) {
      spans[i] = span;
      // A sized free, which looks nothing up, may bring an object of an explicit arena.
      if (ABSL_PREDICT_FALSE(ArenaSet::Owns(span)) && heap_.arenas != nullptr) {
        heap_.arenas->Free(span, objects[i]);
        objects[i] = nullptr;
      } else {
        last = span;
      }
      continue;
    }
    if (objects[i] == nullptr) continue;
    heap_.report(
        {.fault = span != nullptr ? Fault::kSizeMismatch : heap_.page_heap.MissingFault(objects[i]),
         .pointer = objects[i],
         .claimed_size = kSizeClassTable[size_class].size,
         .block_size = span == nullptr ? 0 : span->object_size,
         .block_start = nullptr});
    objects[i] = nullptr;
  }
  for (size_t i = 0; i < count; ++i) {
    if (objects[i] == nullptr) continue;
    const uint16_t shard = spans[i]->shard.load(std::memory_order_relaxed);
    ListAt(shard, size_class)->PutOwned(heap_, objects + i, spans + i, count - i);
  }
}

void PerCpuCentral::DrainList(CentralFreeList& list, size_t count) {
  void* objects[kMaxBatch];
  while (count != 0) {
    const size_t got = list.DrainArray(objects, count < kMaxBatch ? count : kMaxBatch);
    if (got == 0) return;
    PutInSpans(list.size_class(), objects, got);
    count -= got;
  }
}

void PerCpuCentral::Drain() {
  ForEachList([this](CentralFreeList& list) { DrainList(list, ~size_t{0}); });
  ForEachList([this](CentralFreeList& list) { list.FreeEmptySpans(heap_); });
}

void PerCpuCentral::ReturnIdle() {
  ForEachList([this](CentralFreeList& list) {
    if (list.held_hint() == 0) return;
    DrainList(list, list.TakeLowWater());
  });
}

CentralFreeListStats PerCpuCentral::Stats(SizeClass size_class) {
  CentralFreeListStats stats = {};
  for (size_t s = 0; s < shards(); ++s) {
    if (CentralFreeList* list = ListAt(s, size_class)) list->AddStats(&stats);
  }
  return stats;
}

bool PerCpuCentral::CheckInvariants() {
  bool good = true;
  ForEachList([&good](CentralFreeList& list) { good = good && list.CheckInvariants(); });
  return good;
}

}  // namespace spanmalloc

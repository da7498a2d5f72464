// SPDX-License-Identifier: Apache-2.0
//
// Memory of explicit arenas given back to the kernel, or to the program's hooks.
#include "allocator/central/arena_set.h"

namespace spanmalloc {
namespace {

// Whether a search that isn't over may find something in the list.
bool MaySearch(const SpanSearch& search, const CentralFreeList& list) {
  return search.spans != 0 && search.bytes != 0 && list.held_hint() != 0;
}

}  // namespace

void ArenaSet::Purge(unsigned index, size_t* resident) {
  ReleaseAll(index, resident);
  ReturnHooked(index, Wait::kYes);
}

void ArenaSet::ReturnHooked(unsigned index, Wait wait) {
  HookedMemory* memory = heap_.page_heap.HookedMemoryOf(index);
  if (memory == nullptr || Find(index) == nullptr) return;
  if (memory->purges()) {
    const HookedMemory::Turn turn(*memory, wait);
    SpanSearch search = {.bytes = ~size_t{0}, .spans = ~size_t{0}, .by_hooks = true};
    At(index)->ForEachList([&](CentralFreeList& list) {
      if (turn.taken()) list.ReleaseAll(heap_, &search);
    });
  }
  heap_.page_heap.ReturnHooked(index, ~size_t{0}, wait);
}

void ArenaSet::ReturnUnusedHooked() {
  ForEachHooked([this](unsigned index) {
    if (Settings(index).dirty_decay_ms >= 0) ReturnHooked(index, Wait::kNo);
  });
}

void ArenaSet::ServeHooked(unsigned index, uint64_t now_ms) {
  HookedMemory* memory = heap_.page_heap.HookedMemoryOf(index);
  if (memory == nullptr || !memory->IsDue(now_ms)) return;
  heap_.page_heap.ReturnHookedExcess(index, now_ms);
  PurgeIdleSpans(index, now_ms);
}

void ArenaSet::ServeAllHooked(uint64_t now_ms) {
  ForEachHooked([this, now_ms](unsigned index) { ServeHooked(index, now_ms); });
}

// What lies inside spans and nobody wanted for the decay time.
void ArenaSet::PurgeIdleSpans(unsigned index, uint64_t now_ms) {
  Arena* arena = Find(index);
  HookedMemory* memory = heap_.page_heap.HookedMemoryOf(index);
  if (arena == nullptr || memory == nullptr || !memory->purges()) return;
  const int64_t decay_ms = arena->dirty_decay_ms.load(std::memory_order_relaxed);
  if (decay_ms < 0 || now_ms < arena->next_purge_ms.load(std::memory_order_relaxed)) return;
  const HookedMemory::Turn turn(*memory, Wait::kNo);
  if (!turn.taken()) return;
  arena->next_purge_ms.store(now_ms + static_cast<uint64_t>(decay_ms), std::memory_order_relaxed);
  SpanSearch search = {.bytes = ~size_t{0}, .spans = kMaxPurged, .by_hooks = true};
  arena->ForEachList([&](CentralFreeList& list) {
    if (list.held_hint() == 0) return;
    list.TickSpans();
    list.ReleaseIdle(heap_, IdleSince::kPeriod, &search);
  });
}

// As Purge, but for what the program's hooks give back.
void ArenaSet::ReleaseAll(unsigned index, size_t* resident) {
  os::LockHolder hold(table_lock_);
  Arena* arena = Find(index);
  if (arena == nullptr) return;
  const bool hooked = heap_.page_heap.HookedMemoryOf(index) != nullptr;
  arena->ForEachList([this, hooked, resident](CentralFreeList& list) {
    SpanSearch search = {.bytes = ~size_t{0}, .spans = ~size_t{0}, .resident = resident};
    list.FreeEmptySpans(heap_);
    if (!hooked) list.ReleaseAll(heap_, &search);
  });
  PageHeap* heap = heap_.page_heap.ArenaHeapAt(index);
  if (heap != nullptr && !heap->hooked()) heap->Release(~size_t{0}, resident);
}

void ArenaSet::Decay(unsigned index, uint64_t now_ms) {
  if (Find(index) == nullptr) return;
  if (heap_.page_heap.HookedMemoryOf(index) != nullptr) {
    heap_.page_heap.ReturnHookedExcess(index, now_ms);
    return PurgeIdleSpans(index, now_ms);
  }
  os::LockHolder hold(table_lock_);
  PageHeap* heap = heap_.page_heap.ArenaHeapAt(index);
  if (Find(index) != nullptr && heap != nullptr) heap->ReleaseExcess(now_ms);
}

void ArenaSet::FreeEmptySpans() {
  if (end() == 1) return;
  os::LockHolder hold(table_lock_);
  ForEach([this](Arena& arena) {
    arena.ForEachList([this](CentralFreeList& list) { list.FreeEmptySpans(heap_); });
  });
}

void ArenaSet::TickSpans() {
  if (end() == 1) return;
  os::LockHolder hold(table_lock_);
  ForEach([](Arena& arena) {
    arena.ForEachList([](CentralFreeList& list) {
      if (list.held_hint() != 0) list.TickSpans();
    });
  });
}

void ArenaSet::ReleaseIdle(IdleSince since, SpanSearch* search) {
  if (end() == 1) return;
  os::LockHolder hold(table_lock_);
  ForEachOwn([&](Arena& arena) {
    if (arena.dirty_decay_ms.load(std::memory_order_relaxed) < 0) return;
    arena.ForEachList([&](CentralFreeList& list) {
      if (MaySearch(*search, list)) list.ReleaseIdle(heap_, since, search);
    });
  });
}

void ArenaSet::ReleaseFree(SpanSearch* search) {
  if (end() == 1) return;
  os::LockHolder hold(table_lock_);
  ForEachOwn([&](Arena& arena) {
    arena.ForEachList([&](CentralFreeList& list) {
      if (MaySearch(*search, list)) list.ReleaseAll(heap_, search);
    });
  });
}

}  // namespace spanmalloc

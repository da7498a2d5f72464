// SPDX-License-Identifier: Apache-2.0
#include "allocator/central/arena_set.h"

#include "allocator/os/clock.h"

namespace spanmalloc {

// The table, made if need be; nullptr if there is no memory for it.
ArenaSet::Table* ArenaSet::MakeTable() {
  Table* table = table_.load(std::memory_order_relaxed);
  if (table != nullptr) return table;
  table = heap_.metadata.NewZero<Table>();
  // Release: pairs with the acquire in At.
  table_.store(table, std::memory_order_release);
  return table;
}

// The index that was destroyed last, else the next one; kMaxArenas if there is none.
unsigned ArenaSet::TakeIndex() {
  if (last_destroyed_ == 0) return end();
  const unsigned index = last_destroyed_;
  last_destroyed_ = At(index)->next_free;
  return index;
}

bool ArenaSet::Create(const ArenaSettings& settings, unsigned* index) {
  if (!Make(settings, index)) return false;
  if (!settings.tries_hooks || heap_.page_heap.CanProvide(*index)) return true;
  Destroy(*index);
  return false;
}

// An arena, whose hooks weren't called yet.
bool ArenaSet::Make(const ArenaSettings& settings, unsigned* index) {
  os::LockHolder hold(table_lock_);
  if (!heap_.page_heap.AdmitArenas()) return false;
  if (destroyed_ == nullptr) destroyed_ = heap_.metadata.New<DestroyedArenas>();
  Table* table = MakeTable();
  if (destroyed_ == nullptr || table == nullptr) return false;
  const unsigned taken = TakeIndex();
  if (taken == kMaxArenas) return false;
  Arena* arena = At(taken);
  if (arena == nullptr) {
    arena = heap_.metadata.New<Arena>();
    if (arena == nullptr) return false;
    // Release: pairs with the acquire in At.
    table->arenas[taken].store(arena, std::memory_order_release);
    end_.store(taken + 1, std::memory_order_relaxed);
  }
  if (!SetHooksLocked(taken, settings.hooks)) {
    arena->next_free = last_destroyed_;
    last_destroyed_ = taken;
    return false;
  }
  heap_.page_heap.SetArenaDecay(taken, settings.dirty_decay_ms);
  arena->dirty_decay_ms.store(settings.dirty_decay_ms, std::memory_order_relaxed);
  arena->muzzy_decay_ms.store(settings.muzzy_decay_ms, std::memory_order_relaxed);
  arena->created_ns.store(os::MonotonicNs(), std::memory_order_relaxed);
  arena->next_purge_ms.store(0, std::memory_order_relaxed);
  arena->epoch.fetch_add(1, std::memory_order_relaxed);
  arena->notes = {};
  arena->exists.store(true, std::memory_order_relaxed);
  *index = taken;
  return true;
}

// Takes all spans from the lists and the page heap.
void ArenaSet::FreeBlocks(Arena* arena, unsigned index) {
  arena->epoch.fetch_add(1, std::memory_order_relaxed);
  arena->ForEachList([](CentralFreeList& list) { list.Forget(); });
  if (PageHeap* heap = heap_.page_heap.ArenaHeapAt(index)) heap->FreeAll();
}

bool ArenaSet::Reset(unsigned index) {
  for (;;) {
    if (Find(index) == nullptr) return false;
    HookedMemory* hooked = heap_.page_heap.HookedMemoryOf(index);
    if (hooked != nullptr && !hooked->Close()) return false;
    const Emptied emptied = Empty(index, hooked, /*for_good=*/false);
    if (hooked != nullptr) hooked->Open();
    if (emptied != Emptied::kHooksCame) return emptied == Emptied::kYes;
  }
}

bool ArenaSet::Destroy(unsigned index) {
  for (;;) {
    if (Find(index) == nullptr) return false;
    HookedMemory* hooked = heap_.page_heap.HookedMemoryOf(index);
    if (hooked != nullptr && !hooked->Close()) return false;
    const Emptied emptied = Empty(index, hooked, /*for_good=*/true);
    if (emptied == Emptied::kYes) {
      if (hooked != nullptr) ReturnAndRetire(index);
      return true;
    }
    if (hooked != nullptr) hooked->Open();
    if (emptied == Emptied::kNo) return false;
  }
}

void ArenaSet::ReturnAndRetire(unsigned index) {
  heap_.page_heap.ReturnAllHooked(index);
  os::LockHolder hold(table_lock_);
  Retire(index);
}

// Adds the figures of a page heap that has no memory left to those of arenas that are gone; the
// index may be given again.
void ArenaSet::Retire(unsigned index) {
  if (PageHeap* heap = heap_.page_heap.ArenaHeapAt(index)) {
    destroyed_->heap.Add(heap->Stats(destroyed_->large_classes));
    heap->BeginAnew();
  }
  At(index)->next_free = last_destroyed_;
  last_destroyed_ = index;
}

// Frees an arena's blocks; for good, it doesn't exist any more, but its index isn't free yet if
// hooks have its memory. `closed`: its hooks, which nobody calls now.
ArenaSet::Emptied ArenaSet::Empty(unsigned index, const HookedMemory* closed, bool for_good) {
  os::LockHolder hold(table_lock_);
  if (heap_.page_heap.HookedMemoryOf(index) != closed) return Emptied::kHooksCame;
  Arena* arena = Find(index);
  if (arena == nullptr) return Emptied::kNo;
  if (for_good && arena->threads.load(std::memory_order_relaxed) != 0) return Emptied::kNo;
  FreeBlocks(arena, index);
  if (!for_good) return Emptied::kYes;
  arena->exists.store(false, std::memory_order_relaxed);
  any_destroyed_.store(true, std::memory_order_relaxed);
  arena->ForEachList([this](CentralFreeList& list) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    list.BeginAnew(&destroyed_->classes[list.size_class()]);
  });
  if (closed == nullptr) Retire(index);
  return Emptied::kYes;
}

bool ArenaSet::Provide(unsigned index, size_t pages, size_t alignment) {
  return Find(index) != nullptr && heap_.page_heap.Provide(index, pages, alignment);
}

const ExtentHooks* ArenaSet::Hooks(unsigned index) const {
  const ExtentHooks* hooks = nullptr;
  if (index == 0) {
    hooks = automatic_hooks_.load(std::memory_order_relaxed);
  } else if (const HookedMemory* hooked = heap_.page_heap.HookedMemoryOf(index)) {
    hooks = hooked->hooks();
  }
  return hooks == nullptr ? &kDefaultExtentHooks : hooks;
}

bool ArenaSet::SetHooksLocked(unsigned index, ExtentHooks* hooks) {
  const bool none = hooks == nullptr || hooks == &kDefaultExtentHooks;
  return (none && heap_.page_heap.HookedMemoryOf(index) == nullptr) ||
         heap_.page_heap.SetHooks(index, hooks);
}

bool ArenaSet::SetHooks(unsigned index, ExtentHooks* hooks) {
  if (index == 0) {
    automatic_hooks_.store(hooks, std::memory_order_relaxed);
    return true;
  }
  os::LockHolder hold(table_lock_);
  return Find(index) != nullptr && SetHooksLocked(index, hooks);
}

bool ArenaSet::Bind(unsigned index) {
  os::LockHolder hold(table_lock_);
  Arena* arena = Find(index);
  if (arena == nullptr) return false;
  arena->threads.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void ArenaSet::Unbind(unsigned index) {
  os::LockHolder hold(table_lock_);
  if (Arena* arena = Find(index)) arena->threads.fetch_sub(1, std::memory_order_relaxed);
}

unsigned ArenaSet::Threads(unsigned index) const {
  const Arena* arena = Find(index);
  return arena == nullptr ? 0 : arena->threads.load(std::memory_order_relaxed);
}

void ArenaSet::ResetAfterFork(unsigned index) {
  for (unsigned i = 1; i < end(); ++i) {
    if (Arena* arena = At(i)) arena->threads.store(i == index ? 1 : 0, std::memory_order_relaxed);
  }
}

ArenaEpoch ArenaSet::Epoch(unsigned index) const {
  const Arena* arena = At(index);
  return {&arena->epoch, arena->epoch.load(std::memory_order_relaxed)};
}

CentralFreeList* ArenaSet::MakeList(Arena* arena, unsigned index, SizeClass size_class) {
  os::LockHolder hold(table_lock_);
  CentralFreeList* list = arena->ListAt(size_class);
  if (list != nullptr) return list;
  list = heap_.metadata.New<CentralFreeList>();
  if (list == nullptr) return nullptr;
  list->Init(size_class, OwnerOf(index));
  // Release: pairs with the acquire in ListAt.
  arena->lists[size_class].store(list, std::memory_order_release);
  return list;
}

void* ArenaSet::Allocate(unsigned index, size_t size_class, size_t size, size_t alignment,
                         bool* zeroed) {
  if (size_class != kNoSizeClass) {
    void* object = nullptr;
    AllocateBatch(index, static_cast<SizeClass>(size_class), &object, 1, zeroed);
    return object;
  }
  if (Find(index) == nullptr) return nullptr;
  Span* span = heap_.page_heap.AllocateLargeIn(index, PagesFor(size), alignment);
  if (span == nullptr) return nullptr;
  span->shard.store(OwnerOf(index), std::memory_order_relaxed);
  *zeroed = span->zeroed;
  return reinterpret_cast<void*>(span->start);
}

void ArenaSet::Free(Span* span, void* object) {
  FreeBatch(IndexOf(span), span->size_class, &object, 1);
}

size_t ArenaSet::AllocateBatch(unsigned index, SizeClass size_class, void** out, size_t want,
                               bool* zeroed) {
  Arena* arena = Find(index);
  CentralFreeList* list = arena == nullptr ? nullptr : ListOf(arena, index, size_class);
  return list == nullptr ? 0 : list->RemoveOrCarve(heap_, out, want, zeroed);
}

void ArenaSet::FreeBatch(unsigned index, SizeClass size_class, void* const* objects, size_t count,
                         ArenaEpoch epoch) {
  Arena* arena = Find(index);
  CentralFreeList* list = arena == nullptr ? nullptr : ListOf(arena, index, size_class);
  if (list == nullptr) return;
  for (size_t done = 0; done < count; done += PerCpuCentral::kMaxBatch) {
    const size_t left = count - done;
    list->PutBatch(heap_, objects + done,
                   left < PerCpuCentral::kMaxBatch ? left : PerCpuCentral::kMaxBatch, epoch);
  }
}

ArenaSettings ArenaSet::Settings(unsigned index) const {
  const Arena* arena = At(index);
  if (arena == nullptr) return {};
  return {arena->dirty_decay_ms.load(std::memory_order_relaxed),
          arena->muzzy_decay_ms.load(std::memory_order_relaxed)};
}

void ArenaSet::SetDirtyDecay(unsigned index, int64_t ms) {
  os::LockHolder hold(table_lock_);
  Arena* arena = Find(index);
  if (arena == nullptr) return;
  arena->dirty_decay_ms.store(ms, std::memory_order_relaxed);
  heap_.page_heap.SetArenaDecay(index, ms);
}

void ArenaSet::SetMuzzyDecay(unsigned index, int64_t ms) {
  os::LockHolder hold(table_lock_);
  if (Arena* arena = Find(index)) arena->muzzy_decay_ms.store(ms, std::memory_order_relaxed);
}

uint64_t ArenaSet::CreatedNs(unsigned index) const {
  const Arena* arena = Find(index);
  return arena == nullptr ? 0 : arena->created_ns.load(std::memory_order_relaxed);
}

void ArenaSet::AddStats(unsigned index, SizeClass size_class, CentralFreeListStats* stats) {
  Arena* arena = Find(index);
  CentralFreeList* list = arena == nullptr ? nullptr : arena->ListAt(size_class);
  if (list != nullptr) list->AddStats(stats);
}

size_t ArenaSet::MetadataBytes(unsigned index) const {
  Arena* arena = Find(index);
  if (arena == nullptr) return 0;
  size_t bytes = sizeof(Arena);
  arena->ForEachList([&bytes](CentralFreeList&) { bytes += sizeof(CentralFreeList); });
  if (heap_.page_heap.ArenaHeapAt(index) != nullptr) bytes += sizeof(ArenaHeap);
  return bytes;
}

void ArenaSet::AddStats(SizeClass size_class, CentralFreeListStats* stats) {
  if (end() == 1) return;
  os::LockHolder hold(table_lock_);
  for (unsigned i = 1; i < end(); ++i) AddStats(i, size_class, stats);
  AddDestroyed(size_class, stats);
}

void ArenaSet::AddHeapStats(PageHeapStats* stats, LargeClassStats* large_classes) {
  if (end() == 1) return;
  os::LockHolder hold(table_lock_);
  for (unsigned i = 1; i < end(); ++i) stats->Add(heap_.page_heap.ArenaStats(i, large_classes));
  AddDestroyed(stats, large_classes);
}

void ArenaSet::AddDestroyed(SizeClass size_class, CentralFreeListStats* stats) {
  if (destroyed_ != nullptr) stats->Add(destroyed_->classes[size_class]);
}

void ArenaSet::AddDestroyed(PageHeapStats* stats, LargeClassStats* large_classes) {
  if (destroyed_ == nullptr) return;
  stats->Add(destroyed_->heap);
  for (size_t k = 0; k < kLargeClasses; ++k) {
    large_classes[k].made += destroyed_->large_classes[k].made;
    large_classes[k].freed += destroyed_->large_classes[k].freed;
  }
}

bool ArenaSet::CheckInvariants() {
  os::LockHolder hold(table_lock_);
  bool good = true;
  ForEachList([&good](CentralFreeList& list) { good = good && list.CheckInvariants(); });
  unsigned free = 0;
  for (unsigned i = last_destroyed_; i != 0; i = At(i)->next_free) {
    ++free;
    good = good && Find(i) == nullptr && free < end();
    if (!good) return false;
    // Nothing is left where there is no arena.
    PageHeap* heap = heap_.page_heap.ArenaHeapAt(i);
    good = good && (heap == nullptr || heap->Stats().mapped_pages == 0);
  }
  unsigned live = 0;
  ForEach([&live](Arena&) { ++live; });
  return good && live + free + 1 == end();
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/arena_heap.h"

#include <new>

#include "allocator/heap/node_heaps.h"
#include "allocator/os/clock.h"
#include "allocator/os/thread.h"

namespace spanmalloc {

// What hooks provide is entered while no lock is held, ahead of the next try.
HugeRun ArenaHeap::Acquire(size_t count, size_t alignment) {
  if (memory_.provides()) return {};
  const HugeRun run = lenders_.Lender().Lend(count, alignment);
  lenders_.NoteOwner(run, number_);
  return run;
}

HugeRun ArenaHeap::AcquireAt(size_t index, size_t count) {
  if (memory_.provides()) return {};
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

ArenaHeap* NodeHeaps::ArenaAt(unsigned number) const {
  ArenaHeaps* arenas = ArenasOrNull();
  if (arenas == nullptr) return nullptr;
  // Acquire: pairs with the release in MakeArenaHeap.
  return arenas->heaps[number].load(std::memory_order_acquire);
}

PageHeap* NodeHeaps::ArenaHeapAt(unsigned number) const {
  ArenaHeap* heap = ArenaAt(number);
  return heap == nullptr ? nullptr : &heap->heap();
}

PageHeap* NodeHeaps::MakeArenaHeap(unsigned number) {
  os::LockHolder hold(making_);
  if (PageHeap* made = ArenaHeapAt(number)) return made;
  ArenaHeaps* arenas = ArenasOrNull();
  MetadataAllocator& metadata = first_.metadata();
  void* memory = arenas == nullptr ? nullptr : metadata.Allocate(sizeof(ArenaHeap));
  if (memory == nullptr) return nullptr;
  auto* arena = new (memory) ArenaHeap(*this, first_, page_map_, static_cast<uint16_t>(number));
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

bool NodeHeaps::SetHooks(unsigned number, ExtentHooks* hooks) {
  if (!page_map_.AdmitForeign()) return false;
  if (ArenaHeapAt(number) == nullptr && MakeArenaHeap(number) == nullptr) return false;
  ArenaHeap* arena = ArenaAt(number);
  arena->heap().SetHooked();
  arena->memory().SetHooks(hooks);
  return true;
}

HookedMemory* NodeHeaps::HookedMemoryOf(unsigned number) const {
  ArenaHeap* arena = ArenaAt(number);
  return arena == nullptr || arena->memory().hooks() == nullptr ? nullptr : &arena->memory();
}

bool NodeHeaps::CanProvide(unsigned number) {
  HookedMemory* memory = HookedMemoryOf(number);
  return memory == nullptr || memory->CanProvide();
}

bool NodeHeaps::Provide(unsigned number, size_t pages, size_t alignment) {
  HookedMemory* memory = HookedMemoryOf(number);
  if (memory == nullptr || alignment > kWindowSize) return false;
  // A span in a cut huge page has room there for its alignment.
  const size_t count = HugePagesFor(pages);
  return count < kWindowHugePages && memory->Provide(*ArenaHeapAt(number), count, alignment);
}

bool NodeHeaps::ProvideBehind(const Span* span, size_t pages) {
  const size_t need = HugePagesFor(pages);
  const auto* start = reinterpret_cast<const void*>(span->start);
  if (span->huge_pages == 0 || need <= span->huge_pages || !IsForeign(start)) return false;
  const unsigned number = ArenaOf(span->start);
  HookedMemory* memory = HookedMemoryOf(number);
  return memory != nullptr &&
         memory->JoinBehind(*ArenaHeapAt(number), HugePageIndex(span->start) + span->huge_pages,
                            need - span->huge_pages);
}

size_t NodeHeaps::ReturnHooked(unsigned number, size_t pages, Wait wait) {
  HookedMemory* memory = HookedMemoryOf(number);
  return memory == nullptr ? 0 : memory->Return(*ArenaHeapAt(number), pages, wait);
}

void NodeHeaps::ReturnHookedExcess(unsigned number, uint64_t now_ms) {
  HookedMemory* memory = HookedMemoryOf(number);
  if (memory == nullptr) return;
  PageHeap* heap = ArenaHeapAt(number);
  memory->Return(*heap, heap->ExcessPages(now_ms), Wait::kNo);
}

void NodeHeaps::HoldHooks(uint32_t own) {
  holds_.fetch_add(1);
  if (page_map_.foreign() == nullptr) return;
  const auto in_hooks = [this] {
    uint32_t count = 0;
    for (unsigned i = 1; i < ArenasOrNull()->end.load(std::memory_order_relaxed); ++i) {
      if (HookedMemory* memory = HookedMemoryOf(i)) count += memory->in_hooks();
    }
    return count;
  };
  const uint64_t end = os::MonotonicNs() + kForkPatienceNs;
  while (in_hooks() > own && os::MonotonicNs() < end) os::Yield();
}

void NodeHeaps::ReturnAllHooked(unsigned number) {
  HookedMemory* memory = HookedMemoryOf(number);
  if (memory == nullptr) return;
  memory->ReturnAll(*ArenaHeapAt(number));
  memory->BeginAnew();
}

// In that order: a heap that grows looks for the entries with its lock held.
bool NodeHeaps::ClaimForeign(uintptr_t start, size_t count) {
  const size_t index = HugePageIndex(start);
  ForeignMap& foreign = *page_map_.foreign();
  if (page_map_.Cover(index, index + count) < index + count || !foreign.Claim(start, count)) {
    return false;
  }
  bool taken = false;
  ForEachNode([&](PageHeap& heap) { taken = taken || heap.ExtendsOver(index, count); });
  if (taken) foreign.Clear(index, count);
  return !taken;
}

bool NodeHeaps::RunHook(unsigned number, void (*work)(void* argument), void* argument) {
  HookRunner runner = hook_runner_.load(std::memory_order_relaxed);
  if (runner != nullptr) return runner(number, work, argument);
  work(argument);
  return true;
}

void NodeHeaps::NoteOwner(const HugeRun& run, uint16_t number) {
  ArenaHeaps* arenas = ArenasOrNull();
  for (size_t i = run.index; i < run.index + run.count; ++i) {
    arenas->owners[i].store(number, std::memory_order_relaxed);
  }
  if (number != 0 && run.count != 0) has_lent_.store(true, std::memory_order_relaxed);
}

}  // namespace spanmalloc

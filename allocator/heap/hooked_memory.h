// SPDX-License-Identifier: Apache-2.0
//
// The memory of an explicit arena that has extent hooks of the program's. It gets extents of whole
// huge pages by the hooks and enters them in the arena's page heap; neighbours whose free memory is
// wanted as one it has merged; memory that isn't needed any more it offers to dalloc, then to
// decommit, purge_forced and purge_lazy; what is left when the arena is destroyed goes to destroy.
// What the page heap asks of os::VirtualMemory goes to the hooks where it is about such memory, and
// to the kernel where not.
//
// Owned by ArenaHeap. Hooks are called with no lock held, by threads that allocate from the arena
// or free into it, by mallctl, and by the background thread. Where extents begin and end is changed
// by one thread at a time, which has the turn; so are hooks told of parts of them.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_HOOKED_MEMORY_H_
#define SPANMALLOC_ALLOCATOR_HEAP_HOOKED_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/heap/extent_hooks.h"
#include "allocator/heap/huge_page_source.h"
#include "allocator/heap/page_heap.h"
#include "allocator/heap/page_map.h"
#include "allocator/os/virtual_memory.h"

namespace spanmalloc {

class NodeHeaps;

// Whether to wait for what another thread is doing, a tenth of a second at most.
enum class Wait : uint8_t { kNo, kYes };

class HookedMemory final : public os::VirtualMemory {
 public:
  HookedMemory(NodeHeaps& heaps, os::VirtualMemory& kernel, PageMap& page_map, uint16_t arena)
      : heaps_(heaps), kernel_(kernel), page_map_(page_map), arena_(arena) {}

  // nullptr: none, the arena borrows its memory.
  ExtentHooks* hooks() const {
    // Acquire: pairs with the release in SetHooks; the table may just have been filled in.
    return hooks_.load(std::memory_order_acquire);
  }
  // Whether the arena's memory comes from them, and not from the common heap.
  bool provides() const { return hooks() != nullptr && hooks() != &kDefaultExtentHooks; }
  // Release: pairs with the acquire in hooks.
  void SetHooks(ExtentHooks* hooks) { hooks_.store(hooks, std::memory_order_release); }

  // Whether free memory that is clean reads as zeros; not after purge_lazy was all there was.
  bool cleans() const { return cleans_.load(std::memory_order_relaxed); }

  // Whether there is a hook that gives the memory of parts of extents back.
  bool purges() const {
    const ExtentHooks* own = hooks();
    return own != nullptr && (own->purge_forced != nullptr || own->purge_lazy != nullptr);
  }

  // Enters at least `count` huge pages more in `heap`, whose address is a multiple of `alignment`.
  // False if there are no hooks, or if they give none that can be used.
  bool Provide(PageHeap& heap, size_t count, size_t alignment);

  // Whether the hooks, if there are any, give an extent that can be used. It goes back to them.
  bool CanProvide();

  // Makes free huge pages [index, index + count) one extent with the huge page before them. False
  // if they aren't free, or the hooks don't merge.
  bool JoinBehind(PageHeap& heap, size_t index, size_t count);

  // The turn, as long as the object lives, if it was to be had.
  class Turn {
   public:
    Turn(HookedMemory& memory, Wait wait) : memory_(memory), taken_(memory.Begin(wait)) {}
    ~Turn() {
      if (taken_) memory_.End();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    bool taken() const { return taken_; }

   private:
    HookedMemory& memory_;
    const bool taken_;
  };

  // Gives up to `pages` pages of free memory back, or a little more. Returns how many; 0 without
  // the turn.
  size_t Return(PageHeap& heap, size_t pages, Wait wait);

  // Whether what isn't needed is to be looked for again, as it is now and then.
  bool IsDue(uint64_t now_ms);

  // Keeps other threads from calling hooks until Open, and waits for those that do. False, and
  // nothing done, if the calling thread is in one. Several may have it closed.
  bool Close();
  void Open() {
    // Fork has opened it for a child that was in a hook.
    if (closed_.load() != 0) closed_.fetch_sub(1);
  }

  // Gives all back, of an arena without blocks that is closed.
  void ReturnAll(PageHeap& heap);

  // Without hooks again, as a new arena. Requires: ReturnAll.
  void BeginAnew();
  // How many threads may be calling hooks now.
  uint32_t in_hooks() const { return in_hooks_.load(); }

  // In a child after fork. Its only thread is in no hook; if it is, NoteInHook follows.
  void ResetAfterFork() {
    in_hooks_.store(0, std::memory_order_relaxed);
    has_turn_.store(false, std::memory_order_relaxed);
    closed_.store(0, std::memory_order_relaxed);
  }
  void NoteInHook() { in_hooks_.fetch_add(1, std::memory_order_relaxed); }

  void* Map(size_t size) override { return kernel_.Map(size); }
  bool MapAt(void* address, size_t size) override {
    return !IsForeign(address) && kernel_.MapAt(address, size);
  }
  void* Reserve(size_t size) override { return kernel_.Reserve(size); }
  bool Commit(void* address, size_t size) override { return kernel_.Commit(address, size); }
  bool Unmap(void* address, size_t size) override {
    return !IsForeign(address) && kernel_.Unmap(address, size);
  }
  bool Release(void* address, size_t size) override {
    return IsForeign(address) ? Purge(address, size) : kernel_.Release(address, size);
  }
  bool MapOver(void* address, size_t size) override {
    return !IsForeign(address) && kernel_.MapOver(address, size);
  }
  bool AdviseHugePages(void* address, size_t size, bool wanted) override {
    return !IsForeign(address) && kernel_.AdviseHugePages(address, size, wanted);
  }
  size_t Resident(const void* address, size_t size) override {
    return kernel_.Resident(address, size);
  }
  uint64_t TouchNs(void* address) override {
    return IsForeign(address) ? 0 : kernel_.TouchNs(address);
  }
  bool GivesHugePages() override { return kernel_.GivesHugePages(); }
  bool Move(void* from, void* to, size_t size) override {
    return !IsForeign(from) && !IsForeign(to) && kernel_.Move(from, to, size);
  }
  size_t PageSize() override { return kernel_.PageSize(); }
  size_t splits() const override { return kernel_.splits(); }
  void NoteSplits(ptrdiff_t change) override { kernel_.NoteSplits(change); }

 private:
  static constexpr uint64_t kIntervalMs = 50;
  static constexpr uint64_t kPatienceNs = 100'000'000;
  // Merges that may be declined for one request.
  static constexpr int kMaxDeclined = 8;

  bool IsForeign(const void* address) const {
    const ForeignMap* foreign = page_map_.foreign();
    return foreign != nullptr && foreign->Contains(reinterpret_cast<uintptr_t>(address));
  }
  // Calls `hook`, a function without arguments. False if the thread is in one already.
  template <typename Hook>
  bool Call(Hook hook);

  // Each calls one hook, where there is one. Whether it did it.
  bool Dalloc(void* memory, size_t size, bool committed);
  bool Decommit(void* memory, size_t size);
  bool CommitAll(void* memory, size_t size);
  bool Purge(void* address, size_t size);
  void Destroy(void* memory, size_t size, bool committed);

  void Enlist();
  void Leave() { in_hooks_.fetch_sub(1); }
  bool TakeTurn(Wait wait);
  bool Begin(Wait wait);
  void End();

  void GiveBack(void* memory, size_t size, bool committed);
  bool Admit(void* memory, size_t size, size_t alignment, bool committed);
  void Enter(PageHeap& heap, const HugeRun& run);
  void* AskForExtent(size_t size, size_t alignment, bool* zero);
  bool GetExtent(PageHeap& heap, size_t count, size_t alignment);
  bool Recommit(PageHeap& heap, size_t count, size_t alignment);
  bool Merge(size_t at, bool committed);
  size_t Join(size_t index, size_t count);
  bool JoinFree(PageHeap& heap, size_t count, size_t alignment);
  size_t JoinFrom(size_t index, size_t count, int* declined);
  bool JoinDecommitted(size_t count);
  bool JoinForRoom(PageHeap& heap, size_t count, size_t alignment);
  bool CutOut(const HugeRun& run);
  bool Offer(PageHeap& heap, const HugeRun& run);
  void TellLie(const char* what, const void* memory) const;

  NodeHeaps& heaps_;
  os::VirtualMemory& kernel_;
  PageMap& page_map_;
  const uint16_t arena_;
  std::atomic<ExtentHooks*> hooks_{nullptr};
  std::atomic<bool> cleans_{true};
  std::atomic<bool> has_turn_{false};  // a thread has the turn
  std::atomic<uint32_t> closed_{0};    // threads that keep hooks from being called
  std::atomic<uint32_t> in_hooks_{0};  // threads that may call some
  std::atomic<uint64_t> next_ms_{0};
  // All of its extents have lain in between.
  std::atomic<size_t> begin_{kWindowHugePages};
  std::atomic<size_t> end_{0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_HOOKED_MEMORY_H_

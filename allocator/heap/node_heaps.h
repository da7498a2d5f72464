// SPDX-License-Identifier: Apache-2.0
//
// The page heap as the floors above know it: one PageHeap for each NUMA node, each in a part of the
// window of its own. The kernel takes the memory of a page from the node of the CPU that touches it
// first; a page heap that serves one node's threads alone keeps it with them. A span goes back to
// the heap in whose part it lies, whoever frees it.
//
// The first node's heap always exists, the others once a thread of theirs asks for a span. A
// machine with one node has the first one only, in all of the window, and pays for a comparison.
// Nothing is bound to a node: policies that the user or the program sets (numactl) hold as they
// would.
//
// Beside them are the heaps of explicit arenas (arena_heap.h), which the nodes' heaps lend whole
// huge pages; a table tells which huge pages are whose. While there are none nobody pays for them.
//
// The functions are PageHeap's; those without an address are for all of the heaps, unless they say
// otherwise. Never is more than one heap's lock held, except by fork, and a node's under an
// arena's.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_NODE_HEAPS_H_
#define SPANMALLOC_ALLOCATOR_HEAP_NODE_HEAPS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/heap/arena_heap.h"
#include "allocator/heap/page_heap.h"
#include "allocator/os/numa_nodes.h"

namespace spanmalloc {

class NodeHeaps {
 public:
  constexpr NodeHeaps(os::VirtualMemory& memory, os::Clock& clock, MetadataAllocator& metadata,
                      PageMap& page_map, os::NodeFacts& facts)
      : page_map_(page_map), nodes_(facts), first_(memory, clock, metadata, page_map) {}

  // Places the heaps of so many nodes in equal parts of [base, limit), as PageHeap::Init. The first
  // one's start is mapped.
  bool Init(uintptr_t base, uintptr_t limit, uint32_t nodes = 1);

  os::NumaNodes& nodes() { return nodes_; }

  // How many bits tell nodes apart: 0 for one node.
  uint32_t node_bits() const { return node_bits_.load(std::memory_order_relaxed); }

  // The calling thread's node.
  uint32_t CurrentNode() { return node_bits() != 0 ? nodes_.Current() : 0; }

  // In whose part of the window an address is; 0 if in none.
  uint32_t NodeOf(uintptr_t address) const {
    return ABSL_PREDICT_TRUE(node_bits() == 0) ? 0 : PartOf(address);
  }

  // How many heaps of nodes there are.
  size_t heaps() const;

  PageHeap& first() { return first_; }

  // For a thread of `node`; from another node if there is no memory there. Caches are asked first
  // (AtPeak) where there is one heap only.
  Span* AllocateShared(SizeClass size_class, InPageMap in_page_map, uint32_t node,
                       AtPeak at_peak = AtPeak::kGrow) {
    if (ABSL_PREDICT_TRUE(!Several())) {
      return first_.AllocateShared(size_class, in_page_map, at_peak);
    }
    return AllocateFrom(node, [size_class, in_page_map](PageHeap& heap) {
      return heap.AllocateShared(size_class, in_page_map);
    });
  }

  // For the calling thread.
  Span* AllocateLarge(size_t pages, size_t alignment, AtPeak at_peak = AtPeak::kGrow) {
    if (ABSL_PREDICT_TRUE(!Several())) return first_.AllocateLarge(pages, alignment, at_peak);
    return AllocateFrom(CurrentNode(), [pages, alignment](PageHeap& heap) {
      return heap.AllocateLarge(pages, alignment);
    });
  }
  Span* AllocateGrowing(size_t pages, const void* grower) {
    return HeapOn(CurrentNode()).AllocateGrowing(pages, grower);
  }

  // For an explicit arena.
  Span* AllocateSharedIn(unsigned arena, SizeClass size_class) {
    return AllocateInArena(arena, [size_class](PageHeap& heap) {
      return heap.AllocateShared(size_class, InPageMap::kNo);
    });
  }
  Span* AllocateLargeIn(unsigned arena, size_t pages, size_t alignment) {
    return AllocateInArena(
        arena, [pages, alignment](PageHeap& heap) { return heap.AllocateLarge(pages, alignment); });
  }

  void FreeShared(Span* span) { HeapOf(span).FreeShared(span); }
  LargeFault FreeLarge(void* block) { return HeapOf(block).FreeLarge(block); }
  bool GrowLarge(Span* span, size_t pages, const void* grower) {
    return HeapOf(span).GrowLarge(span, pages, grower);
  }
  void ReturnReserve(const void* block, const void* grower) {
    HeapOf(block).ReturnReserve(block, grower);
  }
  void ShrinkLarge(Span* span, size_t pages) { HeapOf(span).ShrinkLarge(span, pages); }

  // False, too, if they belong to different nodes: what is copied comes to the node of `to`.
  bool MoveLarge(Span* from, Span* to) {
    return &HeapOf(from) == &HeapOf(to) && HeapOf(from).MoveLarge(from, to);
  }
  bool ReleaseParts(const Span* span, size_t first, size_t count, size_t* resident) {
    return HeapOf(span).ReleaseParts(span, first, count, resident);
  }
  void NoteRetaken(const Span* span, size_t parts) { HeapOf(span).NoteRetaken(parts); }
  bool MayRetake(const Span* span, size_t parts) { return HeapOf(span).MayRetake(parts); }

  size_t Release(size_t pages, size_t* resident = nullptr);
  // For the nodes' heaps alone.
  size_t ReleaseNodes(size_t pages, size_t* resident = nullptr);
  void ReleaseNodesExcess(uint64_t now_ms) {
    ForEachNode([now_ms](PageHeap& heap) { heap.ReleaseExcess(now_ms); });
  }
  void SetDecay(int64_t ms);
  int64_t DecayMs() { return first_.DecayMs(); }
  // For all heaps together; each gets an equal share.
  void SetDirtyLimit(size_t bytes, size_t percent) ABSL_LOCKS_EXCLUDED(making_);
  void SetHugePageWish(HugePageWish wish);
  void ReleaseExcess(uint64_t now_ms) {
    ForEachOwn([now_ms](PageHeap& heap) { heap.ReleaseExcess(now_ms); });
  }
  bool Decays() {
    return Any([](PageHeap& heap) { return heap.Decays(); });
  }
  size_t DecayingPages() {
    size_t pages = 0;
    ForEachOwn([&pages](PageHeap& heap) { pages += heap.DecayingPages(); });
    return pages;
  }
  void ReleaseUnused() {
    ForEachOwn([](PageHeap& heap) { heap.ReleaseUnused(); });
  }
  // The most bytes that the nodes' heaps ever held. Reads one variable of each.
  size_t PeakBytes() {
    size_t pages = 0;
    ForEachNode([&pages](PageHeap& heap) { pages += heap.PeakPages(); });
    return pages * kPageSize;
  }
  // These two and LimitNoticed read the nodes' heaps, which tell of the arenas', too.
  bool HasExceededFloor() {
    return AnyNode([](PageHeap& heap) { return heap.HasExceededFloor(); }) ||
           has_lent_.load(std::memory_order_relaxed);
  }
  bool HasGrown() {
    return AnyNode([](PageHeap& heap) { return heap.HasGrown(); });
  }
  HeapGrowth TakeGrowth();
  // Of a node's heap.
  bool WouldGrow(size_t pages, uint32_t node) { return HeapOn(node).WouldGrow(pages); }
  void NoteIdleReturned() {
    ForEach([](PageHeap& heap) { heap.NoteIdleReturned(); });
  }
  size_t HeldPages();
  size_t FreeDirtyPages();
  // The heaps may hold no more together. Each is told its share, which is shared out again when one
  // has used it up.
  void SetLimits(size_t notice, size_t refuse) ABSL_LOCKS_EXCLUDED(making_);
  bool LimitNoticed() {
    return AnyNode([](PageHeap& heap) { return heap.LimitNoticed(); });
  }
  bool RefusesForLimit(size_t pages) ABSL_LOCKS_EXCLUDED(making_);
  bool ReclaimForRetry();
  // Whether a span of so many pages fits into a part of the window at all.
  bool HasAddressesFor(size_t pages, size_t alignment) const;

  Fault MissingFault(const void* pointer) {
    return IsForeign(pointer) ? Fault::kDoubleFree : NodeHeapOf(pointer).MissingFault(pointer);
  }
  // Whether memory there came from a program's extent hooks.
  bool IsForeign(const void* pointer) const {
    const ForeignMap* foreign = page_map_.foreign();
    return foreign != nullptr && foreign->Contains(reinterpret_cast<uintptr_t>(pointer));
  }
  void NoteCopiedLarge(size_t bytes) { first_.NoteCopiedLarge(bytes); }

  PageHeapStats Stats();
  // `large_classes` as for PageHeap::Stats.
  PageHeapStats NodeStats(LargeClassStats* large_classes = nullptr);
  PageHeapStats ArenaStats(unsigned number, LargeClassStats* large_classes = nullptr);
  PageHeapResidency MeasureResidency();
  bool CheckInvariants();

  // Calls visit(PageHeap&) for the nodes' heaps that exist, in their order.
  template <typename Visit>
  void ForEachNode(Visit visit) {
    visit(first_);
    if (ABSL_PREDICT_FALSE(node_bits() != 0)) {
      for (uint32_t node = 1; node < parts_; ++node) {
        PageHeap* heap = At(node);
        if (heap != nullptr) visit(*heap);
      }
    }
  }
  // For all, the arenas' included. What those give back to the nodes' heaps is found there.
  template <typename Visit>
  void ForEach(Visit visit) {
    if (ABSL_PREDICT_FALSE(Several())) return ForEachOfSeveral(visit);
    visit(first_);
  }

  // Calls visit(os::RankedLock&) for all locks.
  template <typename Visit>
  void ForEachLock(Visit visit) {
    visit(making_);
    ForEach([&visit](PageHeap& heap) { visit(heap.lock()); });
  }

  // Takes all locks for a fork; see PageHeap. Afterwards one of the other two is called, in the
  // parent and in the child.
  void LockForFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    making_.Lock();
    ForEach([](PageHeap& heap) ABSL_NO_THREAD_SAFETY_ANALYSIS { heap.LockForFork(); });
  }
  void UnlockAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    ForEach([](PageHeap& heap) ABSL_NO_THREAD_SAFETY_ANALYSIS { heap.UnlockAfterFork(); });
    making_.Unlock();
  }
  void ResetAfterFork() {
    making_.ResetAfterFork();
    holds_.store(0, std::memory_order_relaxed);
    ForEach([](PageHeap& heap) { heap.ResetAfterFork(); });
    for (unsigned i = 1; i < kMaxArenas; ++i) {
      if (HookedMemory* memory = HookedMemoryOf(i)) memory->ResetAfterFork();
    }
  }

  // Explicit arenas have numbers from 1 on.
  static constexpr unsigned kMaxArenas = ArenaHeaps::kMax;

  // Makes arenas possible. False if the kernel refuses memory.
  bool AdmitArenas() ABSL_LOCKS_EXCLUDED(making_);

  // An arena's heap; nullptr if it hasn't needed pages yet.
  PageHeap* ArenaHeapAt(unsigned number) const;

  // For how long an arena, whose heap may be still to come, keeps free memory. Requires: arenas are
  // admitted.
  void SetArenaDecay(unsigned number, int64_t ms) ABSL_LOCKS_EXCLUDED(making_);

  // Arenas whose memory the program's extent hooks give. Each of these is called with no lock held,
  // as it calls hooks, but SetHooks. That one gives an arena hooks, others than it had, or, by
  // kDefaultExtentHooks, the common heap's memory again; false if the kernel refuses memory.
  bool SetHooks(unsigned number, ExtentHooks* hooks);
  // nullptr if it never had any.
  HookedMemory* HookedMemoryOf(unsigned number) const;
  // Whether the program's hooks, if there are any, give memory; what they give goes back to them.
  bool CanProvide(unsigned number);
  // Makes room for a span that couldn't be allocated. False if the hooks give no memory.
  bool Provide(unsigned number, size_t pages, size_t alignment);
  // Makes room for a large span to grow to `pages` pages where it is. False if hooks can't.
  bool ProvideBehind(const Span* span, size_t pages);
  // Gives free memory back: up to so many pages; what hasn't been needed for the decay time; all of
  // an arena without blocks, which is without hooks afterwards.
  size_t ReturnHooked(unsigned number, size_t pages, Wait wait);
  void ReturnHookedExcess(unsigned number, uint64_t now_ms);
  void ReturnAllHooked(unsigned number);
  // Ahead of a fork: keeps other threads from calling hooks until LetHooks, and waits for those
  // that do, for kForkPatienceNs at most. `own`: how many hooks the calling thread is in.
  static constexpr uint64_t kForkPatienceNs = 100'000'000;
  void HoldHooks(uint32_t own);
  void LetHooks() { holds_.fetch_sub(1); }
  bool HoldsHooks() const { return holds_.load() != 0; }
  // How hooks are called, if not directly.
  void SetHookRunner(HookRunner runner) { hook_runner_.store(runner, std::memory_order_relaxed); }
  // For HookedMemory: calls a hook; gives memory its entries in the page map, if they are free;
  // counts memory that couldn't be used.
  bool RunHook(unsigned number, void (*work)(void* argument), void* argument);
  bool ClaimForeign(uintptr_t start, size_t count);
  void NoteRefusedExtent() { refused_extents_.fetch_add(1, std::memory_order_relaxed); }
  // How often memory that hooks gave couldn't be used.
  uint64_t refused_extents() const { return refused_extents_.load(std::memory_order_relaxed); }

  // The arena whose huge page `address` lies in; 0 if it lies in no explicit arena's.
  unsigned ArenaOf(uintptr_t address) const {
    const ArenaHeaps* arenas = ArenasOrNull();
    return arenas == nullptr
               ? 0
               : arenas->owners[HugePageIndex(address)].load(std::memory_order_relaxed);
  }

  // For arenas' heaps: who lends to the calling thread; whose part of the window a huge page is.
  PageHeap& Lender() {
    PageHeap* heap = At(CurrentNode());
    return heap == nullptr ? first_ : *heap;
  }
  PageHeap& LenderOf(size_t index) {
    return NodeHeapOf(reinterpret_cast<const void*>(index << kHugePageShift));
  }
  void NoteOwner(const HugeRun& run, uint16_t number);
  bool IsOwner(size_t index, uint16_t number) const {
    return ArenasOrNull()->owners[index].load(std::memory_order_relaxed) == number;
  }

 private:
  static constexpr uint32_t kMaxNodes = os::NumaNodes::kMaxNodes;

  // Whether there may be other heaps than the first.
  bool Several() const { return several_.load(std::memory_order_relaxed); }
  ArenaHeaps* ArenasOrNull() const {
    // Acquire: pairs with the release in AdmitArenas.
    return arenas_.load(std::memory_order_acquire);
  }
  ArenaHeap* ArenaAt(unsigned number) const;
  // An arena's heap, made if need be; nullptr if there is no memory for it.
  PageHeap* MakeArenaHeap(unsigned number) ABSL_LOCKS_EXCLUDED(making_);
  uint32_t PartOf(uintptr_t address) const {
    // What lies below the first part, or outside the window, is far above the last one.
    const size_t part = (HugePageIndex(address) - begin_) / part_huge_pages_;
    return part < parts_ ? static_cast<uint32_t>(part) : 0;
  }

  PageHeap& HeapOf(const void* block) {
    if (ABSL_PREDICT_TRUE(!Several())) return first_;
    const unsigned arena = ArenaOf(reinterpret_cast<uintptr_t>(block));
    return arena == 0 ? NodeHeapOf(block) : *ArenaHeapAt(arena);
  }
  PageHeap& NodeHeapOf(const void* block) {
    if (ABSL_PREDICT_TRUE(node_bits() == 0)) return first_;
    PageHeap* heap = At(PartOf(reinterpret_cast<uintptr_t>(block)));
    return heap == nullptr ? first_ : *heap;
  }
  PageHeap& HeapOf(const Span* span) { return HeapOf(reinterpret_cast<const void*>(span->start)); }

  // A node's heap; nullptr if it wasn't made yet. Acquire: pairs with the release in Make.
  PageHeap* At(uint32_t node) {
    return node == 0 ? &first_ : further_[node - 1].load(std::memory_order_acquire);
  }
  PageHeap& HeapOn(uint32_t node) {
    PageHeap* heap = At(node);
    return ABSL_PREDICT_TRUE(heap != nullptr) ? *heap : Make(node);
  }
  // The first node's, if it can't be had now.
  PageHeap& Make(uint32_t node) ABSL_LOCKS_EXCLUDED(making_);
  void ApplyDirtyLimit(PageHeap& heap) ABSL_EXCLUSIVE_LOCKS_REQUIRED(making_) {
    heap.SetDirtyLimit(dirty_bytes_ / parts_, dirty_percent_);
  }

  template <typename Visit>
  ALLOC_SLOW_PATH void ForEachOfSeveral(Visit visit) {
    ForEachArena(visit);
    ForEachNode(visit);
  }
  // As ForEachNode, for the arenas' heaps.
  template <typename Visit>
  void ForEachArena(Visit visit) {
    ArenaHeaps* arenas = ArenasOrNull();
    if (ABSL_PREDICT_TRUE(arenas == nullptr)) return;
    for (unsigned i = 1; i < arenas->end.load(std::memory_order_relaxed); ++i) {
      if (PageHeap* heap = ArenaHeapAt(i)) visit(*heap);
    }
  }
  // For all whose memory isn't a program's.
  template <typename Visit>
  void ForEachOwn(Visit visit) {
    ForEach([&visit](PageHeap& heap) {
      if (!heap.hooked()) visit(heap);
    });
  }
  template <typename Test>
  bool AnyNode(Test test) {
    bool any = false;
    ForEachNode([&any, test](PageHeap& heap) { any = any || test(heap); });
    return any;
  }
  template <typename Test>
  bool Any(Test test) {
    bool any = false;
    ForEach([&any, test](PageHeap& heap) { any = any || test(heap); });
    return any;
  }

  void ShareLimits(const PageHeap* favoured) ABSL_EXCLUSIVE_LOCKS_REQUIRED(making_);
  ALLOC_SLOW_PATH void ShareLimitsOfSeveral(const PageHeap* favoured)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(making_);
  bool GiveRoomTo(PageHeap& heap) ABSL_LOCKS_EXCLUDED(making_);

  template <typename Allocate>
  Span* AllocateFrom(uint32_t node, Allocate allocate) {
    Span* span = allocate(HeapOn(node));
    for (uint32_t other = 0; ABSL_PREDICT_FALSE(span == nullptr) && other < parts_; ++other) {
      if (other != node) span = allocate(HeapOn(other));
    }
    if (ABSL_PREDICT_FALSE(span == nullptr) && GiveRoomTo(HeapOn(node))) {
      span = allocate(HeapOn(node));
    }
    return span;
  }
  template <typename Allocate>
  Span* AllocateInArena(unsigned number, Allocate allocate) {
    PageHeap* heap = ArenaHeapAt(number);
    if (ABSL_PREDICT_FALSE(heap == nullptr)) heap = MakeArenaHeap(number);
    if (heap == nullptr) return nullptr;
    Span* span = allocate(*heap);
    if (ABSL_PREDICT_FALSE(span == nullptr) && GiveRoomTo(*heap)) span = allocate(*heap);
    if (span != nullptr && heap->hooked() && !HookedMemoryOf(number)->cleans()) {
      span->zeroed = false;
    }
    return span;
  }

  PageMap& page_map_;
  os::NumaNodes nodes_;
  std::atomic<uint32_t> node_bits_{0};
  std::atomic<bool> several_{false};
  std::atomic<bool> has_lent_{false};
  std::atomic<ArenaHeaps*> arenas_{nullptr};
  std::atomic<HookRunner> hook_runner_{nullptr};
  std::atomic<uint64_t> refused_extents_{0};
  std::atomic<uint32_t> holds_{0};  // forks that keep hooks from being called
  uint32_t parts_ = 1;
  size_t begin_ = 0;            // the first part's first huge page
  size_t part_huge_pages_ = 1;  // of each part
  os::RankedLock making_{LockRank::kNodeHeaps};
  HugePageWish wish_ ABSL_GUARDED_BY(making_) = HugePageWish::kNever;
  size_t dirty_bytes_ ABSL_GUARDED_BY(making_) = 0;
  size_t dirty_percent_ ABSL_GUARDED_BY(making_) = 0;
  size_t notice_pages_ ABSL_GUARDED_BY(making_) = PageHeap::kNoLimit;
  size_t refuse_pages_ ABSL_GUARDED_BY(making_) = PageHeap::kNoLimit;
  // One that the kernel gave no place, to be tried again.
  PageHeap* unplaced_ ABSL_GUARDED_BY(making_) = nullptr;
  // The heaps of the nodes from 1 on, once they are placed.
  std::atomic<PageHeap*> further_[kMaxNodes - 1] = {};
  PageHeap first_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_NODE_HEAPS_H_

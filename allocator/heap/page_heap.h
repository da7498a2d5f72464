// SPDX-License-Identifier: Apache-2.0
//
// The page heap: spans of pages, allocated, grown, shrunk and freed, over whole huge pages. Spans
// shorter than a huge page are packed into huge pages by the fillers; longer ones take runs of
// whole huge pages, whose untouched tail costs address space only.
//
// Called by the central free lists (spans of a size class) and by the entry points (large blocks).
// One lock guards everything; it is dropped around madvise.
//
// Each NUMA node has such a heap, with a part of the window; and each explicit arena, which gets
// whole huge pages from a source.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_PAGE_HEAP_H_
#define SPANMALLOC_ALLOCATOR_HEAP_PAGE_HEAP_H_

#include <string.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/heap/bad_pointer.h"
#include "allocator/heap/free_extents.h"
#include "allocator/heap/freed_spans.h"
#include "allocator/heap/huge_page.h"
#include "allocator/heap/huge_page_advice.h"
#include "allocator/heap/huge_page_counts.h"
#include "allocator/heap/huge_page_filler.h"
#include "allocator/heap/huge_page_pool.h"
#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/page_map.h"
#include "allocator/heap/release_policy.h"
#include "allocator/heap/span.h"
#include "allocator/os/clock.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/params/span_shapes.h"

namespace spanmalloc {

// A snapshot of the page heap, in pages and counts since the start.
struct PageHeapStats {
  size_t span_pages;   // in spans, of either kind
  size_t large_pages;  // in large spans
  size_t large_spans;  // large spans in use
  size_t dirty_pages;  // free, perhaps resident
  size_t clean_pages;  // free, mapped, not resident
  size_t mapped_pages;
  size_t huge_pages_cut;     // huge pages that hold spans
  size_t mapping_splits;     // places where moves and advice split the kernel's mapping
  uint64_t large_allocated;  // large spans ever made
  uint64_t large_allocated_pages;
  uint64_t large_freed;
  uint64_t releases;        // sweeps that gave memory back
  uint64_t release_calls;   // madvise calls, those of sweeps and others
  uint64_t released_pages;  // what they gave back
  uint64_t reused_pages;    // of free pages that were given back, those wanted again soon after
  uint64_t retaken_parts;   // of parts of spans that were given back, those wanted again
  uint64_t grown_in_place;  // large blocks grown without moving
  uint64_t grown_pages;     // what was added to them
  uint64_t remapped;        // large blocks moved by mremap
  uint64_t remapped_pages;
  uint64_t copied;  // large blocks moved by copying
  uint64_t copied_bytes;

  // All of them are numbers of 64 bits.
  void Add(const PageHeapStats& other) {
    uint64_t sums[sizeof(PageHeapStats) / sizeof(uint64_t)];
    uint64_t more[sizeof(PageHeapStats) / sizeof(uint64_t)];
    memcpy(sums, this, sizeof(sums));
    memcpy(more, &other, sizeof(more));
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); ++i) sums[i] += more[i];
    memcpy(this, sums, sizeof(sums));
  }
};

// What of the heap is resident, in bytes.
struct PageHeapResidency {
  size_t small;   // in spans of size classes
  size_t large;   // in large spans
  size_t free;    // in no span
  size_t tables;  // of the page map and of what the page heap notes about huge pages

  void Add(const PageHeapResidency& other) {
    small += other.small;
    large += other.large;
    free += other.free;
    tables += other.tables;
  }
};

// By what the heap has grown.
struct HeapGrowth {
  bool much = false;  // since NoteIdleReturned: time for caches to give back what they hold idle
  size_t pages = 0;   // since TakeGrowth, beyond what was ever held; 0 if all free memory is kept
};

// Whether a span's pages show its size class in the page map. If not, free finds none there and
// goes to the slow path, which asks the span.
enum class InPageMap : uint8_t { kNo, kYes };

// What a span is to do that would make the heap hold more than it ever did: grow it; or, in a
// process with one thread, every so often not come about, so that caches give back whole spans
// before it is asked for again.
enum class AtPeak : uint8_t { kGrow, kAskFirst };

// What FreeLarge found at a pointer.
enum class LargeFault : uint8_t {
  kNone,
  kInterior,  // inside a large block
  kNoBlock,   // no large block there
};

class PageHeap {
 public:
  // `watched`: a heap whose HasGrown and LimitNoticed are to tell of this one, too; nullptr: none.
  constexpr PageHeap(os::VirtualMemory& memory, os::Clock& clock, MetadataAllocator& metadata,
                     PageMap& page_map, LockRank rank = LockRank::kPageHeap,
                     PageHeap* watched = nullptr)
      : memory_(memory),
        clock_(clock),
        metadata_(metadata),
        page_map_(page_map),
        watched_(watched),
        lock_(rank),
        pool_(memory, page_map),
        advice_(memory, clock, page_map, pool_) {}

  // Another heap over the same.
  explicit PageHeap(const PageHeap& other)
      : PageHeap(other.memory_, other.clock_, other.metadata_, other.page_map_) {}
  // The same with a memory of its own.
  PageHeap(const PageHeap& other, os::VirtualMemory& memory, LockRank rank, PageHeap* watched)
      : PageHeap(memory, other.clock_, other.metadata_, other.page_map_, rank, watched) {}

  // Places the heap, as HugePagePool::Init, and maps its start. False if the kernel refuses those
  // addresses; another place may then be tried.
  bool Init(uintptr_t base, uintptr_t limit) ABSL_LOCKS_EXCLUDED(lock_);

  // In the place of Init, for an explicit arena: all huge pages come from `source`, in the aligned
  // 4 TiB block at `block`. False if the kernel refuses memory.
  bool InitOver(HugePageSource* source, uintptr_t block) ABSL_LOCKS_EXCLUDED(lock_);

  // Lends whole huge pages to another heap, and takes them back; see HugePageSource.
  HugeRun Lend(size_t count, size_t alignment) ABSL_LOCKS_EXCLUDED(lock_);
  HugeRun LendAt(size_t index, size_t count) ABSL_LOCKS_EXCLUDED(lock_);
  void TakeBack(const HugeRun& run) ABSL_LOCKS_EXCLUDED(lock_);

  // A span cut into objects of `size_class`. nullptr if out of memory, or caches are asked first.
  Span* AllocateShared(SizeClass size_class, InPageMap in_page_map, AtPeak at_peak = AtPeak::kGrow)
      ABSL_LOCKS_EXCLUDED(lock_);

  // A large span of `pages` pages whose start is a multiple of `alignment` bytes (a power of two).
  // span->zeroed tells whether it reads as zeros. nullptr if out of memory, or caches are asked
  // first, which they aren't for whole huge pages.
  Span* AllocateLarge(size_t pages, size_t alignment, AtPeak at_peak = AtPeak::kGrow)
      ABSL_LOCKS_EXCLUDED(lock_);

  // A large span of `pages` pages that is expected to grow. If that is less than a huge page, more
  // pages are kept behind it, into which `grower`, a thread, may grow it without the lock
  // (Span::GrowIntoReserve) until ReturnReserve. nullptr if out of memory.
  Span* AllocateGrowing(size_t pages, const void* grower) ABSL_LOCKS_EXCLUDED(lock_);

  // From now on some of its memory is a program's, given by extent hooks (HookedMemory), which
  // gives it back. No memory is released but by Release and ReleaseExcess, which are called with no
  // lock held; limits are for others.
  void SetHooked() ABSL_LOCKS_EXCLUDED(lock_);
  bool hooked() const { return hooked_.load(std::memory_order_relaxed); }

  // As the pool's PutForeign and TakeForeign.
  void EnterForeign(const HugeRun& run) ABSL_LOCKS_EXCLUDED(lock_);
  HugeRun TakeForeign(size_t* cursor, ForeignPart part) ABSL_LOCKS_EXCLUDED(lock_);
  // As the pool's.
  size_t FindAdjoining(size_t from, size_t count, size_t alignment) ABSL_LOCKS_EXCLUDED(lock_);
  bool AdjoinsFree(size_t index, size_t count) ABSL_LOCKS_EXCLUDED(lock_);
  // How many pages of free memory the policy doesn't keep at `now_ms`.
  size_t ExcessPages(uint64_t now_ms) ABSL_LOCKS_EXCLUDED(lock_);

  // Whether any huge page of a range is between the first and the last that the heap has had.
  bool ExtendsOver(size_t index, size_t count) ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    const auto [first, end] = pool_.indices();
    return index < end && first < index + count;
  }

  // Takes back a span of a size class, all of whose objects are free.
  void FreeShared(Span* span) ABSL_LOCKS_EXCLUDED(lock_);

  // Takes back the large span that starts at `block`; reports if there is none.
  LargeFault FreeLarge(void* block) ABSL_LOCKS_EXCLUDED(lock_);

  // Takes back every span, of either kind, and returns all huge pages to the source. Those who own
  // the spans know it. Takes time in proportion to the spans.
  void FreeAll() ABSL_LOCKS_EXCLUDED(lock_);

  // Begins anew, as it was after InitOver: what was counted is forgotten. Requires: no spans.
  void BeginAnew() ABSL_LOCKS_EXCLUDED(lock_);

  // Grows a large span to `pages` pages where it is. False if what follows it isn't free. With a
  // `grower` it is expected to go on growing, as in AllocateGrowing.
  bool GrowLarge(Span* span, size_t pages, const void* grower) ABSL_LOCKS_EXCLUDED(lock_);

  // Returns the reserve of the large span at `block`, if `grower`, which calls this, has one there.
  // The block may have been freed.
  void ReturnReserve(const void* block, const void* grower) ABSL_LOCKS_EXCLUDED(lock_);

  // Returns the reserve of a large span and its tail beyond `pages` pages (at least 1).
  void ShrinkLarge(Span* span, size_t pages) ABSL_LOCKS_EXCLUDED(lock_);

  // Moves all of `from` onto the start of `to`, at least as long, by moving pages instead of
  // copying them. Each holds a single block. False, and nothing changed, if the kernel can't. On
  // success `from` has lost its contents.
  bool MoveLarge(Span* from, Span* to) ABSL_LOCKS_EXCLUDED(lock_);

  // Returns free dirty pages to the kernel, whole huge pages first, then runs inside huge pages: at
  // least `pages` of them, or all there are. Returns how many were given back. `*resident`, where
  // asked for, is raised by the bytes of them that were resident; that takes the kernel longer.
  size_t Release(size_t pages, size_t* resident = nullptr) ABSL_LOCKS_EXCLUDED(lock_);

  // For how long free memory is kept: milliseconds, -1 for ever, 0 not at all.
  void SetDecay(int64_t ms) ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    policy_.SetDecay(ms);
  }

  // How much is kept at most; see ReleasePolicy.
  void SetDirtyLimit(size_t bytes, size_t percent) ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    policy_.SetLimit(bytes, percent);
    dirty_bound_ = policy_.limited() ? 0 : kNoLimit;
  }

  // Where the kernel is to be asked for huge pages. Nowhere, until this is called.
  void SetHugePageWish(HugePageWish wish) ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    advice_.SetWish(wish);
  }

  int64_t DecayMs() ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    return policy_.decay_ms();
  }

  // Gives parts [first, first + count) of a span of a size class back to the kernel. Its owner, who
  // calls this, has no object there in use. Returns whether the kernel took them. `resident` as for
  // Release.
  bool ReleaseParts(const Span* span, size_t first, size_t count, size_t* resident)
      ABSL_LOCKS_EXCLUDED(lock_);

  // Gives back what the policy asks for at `now_ms`.
  void ReleaseExcess(uint64_t now_ms) ABSL_LOCKS_EXCLUDED(lock_);

  // Whether the policy is going to ask for more, later, even if nothing changes.
  bool Decays() ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    return policy_.Decays(used_pages_, DirtyPages());
  }

  // How many free pages the policy is going to ask for by and by, if nothing changes. HasGrown will
  // tell when many more have become free.
  size_t DecayingPages() ABSL_LOCKS_EXCLUDED(lock_);

  // Gives back all that is free, unless the policy keeps it for ever.
  void ReleaseUnused() ABSL_LOCKS_EXCLUDED(lock_);

  // Whether more has been resident than what is kept in any case. Reads one variable.
  bool HasExceededFloor() const { return PeakPages() > ReleasePolicy::kFloorPages; }

  // The most pages that it ever held. Reads one variable.
  size_t PeakPages() const { return peak_resident_.load(std::memory_order_relaxed); }

  // Whether the heap has grown, which TakeGrowth tells, or has become as free as DecayingPages
  // says. Reads one variable.
  bool HasGrown() const { return has_grown_.load(std::memory_order_relaxed); }
  HeapGrowth TakeGrowth() ABSL_LOCKS_EXCLUDED(lock_);

  // Whether `pages` more would make it hold more than it ever did.
  bool WouldGrow(size_t pages) ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    return Held() + pages > peak_resident_.load(std::memory_order_relaxed);
  }

  // Caches have given back what they held idle.
  void NoteIdleReturned() ABSL_LOCKS_EXCLUDED(lock_);

  // Objects in `parts` parts of a span that the kernel has are about to be written to.
  void NoteRetaken(size_t parts) ABSL_LOCKS_EXCLUDED(lock_);

  // Whether an object may be taken that lies in such parts. Unless growth is refused somewhere, it
  // reads one variable.
  bool MayRetake(size_t parts) ABSL_LOCKS_EXCLUDED(lock_) {
    if (!refuses_.load(std::memory_order_relaxed)) return true;
    os::LockHolder hold(lock_);
    return MayUse(parts * kReleaseUnit / kPageSize + 1);
  }

  // Pages that are in spans or dirty, but for what the kernel has inside spans: what is resident at
  // most.
  size_t HeldPages() ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    return Held();
  }

  // Of them, those that are free.
  size_t FreeDirtyPages() ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    return DirtyPages();
  }

  // Of them, those in spans.
  size_t UsedPages() ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    return used_pages_ - PagesInParts();
  }

  static constexpr size_t kNoLimit = ~size_t{0};
  // Sets how many pages may be held. Once more than `notice` are, HasGrown and LimitNoticed say so;
  // they don't again until this is called again. What would take them beyond `refuse`, although all
  // free ones are released, fails.
  void SetLimits(size_t notice, size_t refuse) ABSL_LOCKS_EXCLUDED(lock_);
  bool LimitNoticed() const { return limit_noticed_.load(std::memory_order_relaxed); }

  // Whether a span of so many pages is refused for that reason.
  bool RefusesForLimit(size_t pages) ABSL_LOCKS_EXCLUDED(lock_) {
    os::LockHolder hold(lock_);
    return used_pages_ + pages > Raised(refuse_pages_);
  }

  // After an allocation failed for lack of address space or commit charge: gives back all that is
  // free, mappings included. Returns whether anything was.
  bool ReclaimForRetry() ABSL_LOCKS_EXCLUDED(lock_);

  MetadataAllocator& metadata() { return metadata_; }
  os::VirtualMemory& memory() { return memory_; }

  // Where it was placed.
  uintptr_t base() const { return pool_.base(); }

  // Whether `address` lies where the heap's pages are or have been.
  bool InHeap(uintptr_t address) const { return pool_.InHeap(address); }

  // The fault of a pointer at which no span is: its block was freed, or never was one.
  Fault MissingFault(const void* pointer) const {
    return InHeap(reinterpret_cast<uintptr_t>(pointer)) ? Fault::kDoubleFree : Fault::kNotABlock;
  }

  // Notes that `bytes` of a large block were copied because it moved.
  void NoteCopiedLarge(size_t bytes) {
    copied_.fetch_add(1, std::memory_order_relaxed);
    copied_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }

  // With the counts of large blocks of the same moment, added to large_classes[large class].
  PageHeapStats Stats(LargeClassStats* large_classes = nullptr) ABSL_LOCKS_EXCLUDED(lock_);

  // Adds the runs of free pages. Takes time in proportion to the heap.
  void AddFreeExtents(FreeExtents* extents) ABSL_LOCKS_EXCLUDED(lock_);

  // Adds the huge pages. Asks the kernel about them. Takes time in proportion to the heap.
  void AddHugePages(HugePageCounts* counts) ABSL_LOCKS_EXCLUDED(lock_);

  // Asks the kernel. Takes time in proportion to the heap: some milliseconds for each GiB.
  PageHeapResidency MeasureResidency() ABSL_LOCKS_EXCLUDED(lock_);

  bool CheckInvariants() ABSL_LOCKS_EXCLUDED(lock_);

  os::RankedLock& lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }

  // Takes the lock for a fork, when no pages are on their way to the kernel: they would be nobody's
  // in the child, for ever. Then one of the others is called, in the parent and in the child.
  void LockForFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(lock_);
  void UnlockAfterFork() ABSL_UNLOCK_FUNCTION(lock_);
  void ResetAfterFork();

 private:
  static constexpr size_t kMaxMovedMappings = 4096;

  // Whether a range is made of whole pages of the system.
  bool IsWhole(uintptr_t start, size_t bytes) { return (start | bytes) % memory_.PageSize() == 0; }

  // How many pages have to be released together.
  size_t PagesPerSystemPage() {
    const size_t pages = memory_.PageSize() / kPageSize;
    return pages == 0 ? 1 : pages;
  }

  // Runs shorter than this inside a huge page aren't worth a system call of their own: 64 KiB.
  static constexpr size_t kMinReleaseRun = 8;

  // Pages given back that are wanted again within this time count as reused.
  static constexpr uint64_t kReuseMs = 10'000;

  // Growth beyond the peak is told in steps of at least this: 512 KiB.
  static constexpr size_t kGrowthStep = 64;

  // From a peak of 4 MiB on, how much it rises by from one time to the next that caches are asked
  // for whole spans: this much, 64 KiB, or a share of it.
  static constexpr size_t kAskStep = 8;
  static constexpr size_t kAskShare = 256;

  // Huge pages released under one madvise, at most: 64 MiB.
  static constexpr size_t kMaxReleaseBatch = 32;

  // Kept spans that are dropped at once for a request that found none of its length.
  static constexpr size_t kDroppedAtOnce = 64;

  // A span that is expected to grow gets room for this many times its pages.
  static constexpr size_t kReserveFactor = 16;

  HugePage* FindInHugePage(size_t pages, SpanKind kind, AtPeak at_peak)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool AsksFirst(size_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Span* AllocateInHugePage(size_t pages, size_t alignment, SizeClass size_class, AtPeak at_peak)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Span* AllocateHugeRun(size_t pages, size_t alignment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  HugePage* CutHugePage(SpanKind kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Span* NewSpan() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void DeleteSpan(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void ForgetObjects(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void ReleaseForGrowth() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  HugePage* GrowFiller(SpanKind kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Span* PlaceSpan(HugePage* huge_page, size_t first, size_t pages, size_t reserve, SpanKind kind)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Span* AllocateWithReserve(size_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Span* ReuseFreed(size_t pages, size_t written, size_t huge_pages, size_t alignment)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void KeepFreed(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  // Makes the pages of kept spans free for everybody, of all if there are no more than `most`.
  // Returns whether there were any.
  bool DropFreed(size_t most = FreedSpans::kMaxSpans) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    freed_grown_pages_ = 0;
    return !freed_.empty() && DropKept(most);
  }
  bool DropKept(size_t most) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  // Notes mappings that mremap made, or that are merged again.
  void NoteMoved(ptrdiff_t change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    moved_mappings_ += static_cast<size_t>(change);
    memory_.NoteSplits(2 * change);
  }
  void NoteLarge(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteGrowths(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteExtent(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  LargeClassStats& LargeClass(size_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return large_classes_[LargeClassOf(pages * kPageSize)];
  }
  bool GrowInHugePage(Span* span, size_t pages, const void* grower)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool GrowHugeRun(Span* span, size_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void ShrinkInHugePage(Span* span, size_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static size_t ReleasedParts(const HugePage& huge_page);
  static bool SpansAreDirty(const HugePage& huge_page);
  static size_t NoteWritten(HugePage* huge_page, const Span* span);
  size_t UsePages(HugePage* huge_page, size_t first, size_t count, size_t written)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void FreePages(HugePage* huge_page, size_t first, size_t count, size_t dirty)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool FreeHugePages(size_t index, size_t count, bool moved) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool Merge(uintptr_t start, size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void CleanPages(HugePage* huge_page, size_t first, size_t count)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void CleanParts(HugePage* huge_page, const Span& span, uint64_t released)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteReleasedRun(const HugeRun& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteReleased(HugePage* huge_page, size_t first, size_t count)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteReuse(HugePage* huge_page, size_t first, size_t count)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteReusedRun(const HugeRun& run, size_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void TakeBackAdvice(HugePage* huge_page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void MoveAdvice(const Span* from, const Span* to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void RemoveLarge(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void WaitForReleases() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void DropSpan(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void DropCut(HugePage* huge_page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Span* LargeSpanOf(const void* block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteGrown() {
    has_grown_.store(true, std::memory_order_relaxed);
    if (watched_ != nullptr) watched_->has_grown_.store(true, std::memory_order_relaxed);
  }
  void RemoveSpan(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void UncutIfEmpty(HugePage* huge_page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void UncutIfKnown(HugePage* huge_page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void UncutIfClean(HugePage* huge_page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void UncutEmpty() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void DropSpares() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Uncut(HugePage* huge_page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  // Called before `pages` pages, no more than a huge page has, are used. False if that is refused.
  bool MayUse(size_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return ABSL_PREDICT_TRUE(used_pages_ + DirtyPages() <= unwatched_pages_) || HoldLimits(pages);
  }
  bool GrownMuch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void HoldPeak() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool HoldLimits(size_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NotePeak() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void UpdateUnwatched() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t ReleaseHugePages(size_t pages, size_t batch, size_t* resident = nullptr)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  struct HugePageUse;
  HugePageUse UseOf(size_t index) ABSL_LOCKS_EXCLUDED(lock_);
  void AddResident(const HugePageUse& use, PageHeapResidency* residency);
  const char* CountHugePage(size_t index, HugePageCounts* counts) ABSL_LOCKS_EXCLUDED(lock_);
  size_t ReleaseInside(size_t pages, size_t calls, size_t* resident = nullptr)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t ReleaseRunsOf(HugePage* huge_page, size_t min_run, size_t* calls, size_t* resident)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t ReleaseLocked(size_t pages, size_t* resident = nullptr)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  // Called after spans were freed.
  void HoldBound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    if (ABSL_PREDICT_FALSE(DirtyPages() > dirty_bound_)) ReleaseBeyondBound();
  }
  void ReleaseBeyondBound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool ReleaseRange(void* address, size_t bytes, size_t* resident);
  bool ReleaseUnlocked(void* address, size_t bytes, size_t* resident)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void WaitForFork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t PagesInParts() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return released_parts_ * kReleaseUnit / kPageSize;
  }
  size_t Held() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return used_pages_ + DirtyPages() - PagesInParts();
  }
  // A limit by what is in spans, the parts that the kernel has included.
  size_t Raised(size_t limit) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return limit == kNoLimit ? limit : limit + PagesInParts();
  }
  size_t DirtyPages() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return pool_.dirty() * kPagesPerHugePage + dirty_in_cut_ + freed_.pages();
  }
  HugePageFiller& FillerOf(const HugePage* huge_page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return fillers_[static_cast<size_t>(huge_page->kind)];
  }
  HugePage* HugePageOf(const Span* span) const {
    return page_map_.HugePageAt(HugePageIndex(span->start));
  }
  // A huge page of the heap's extent, if it is cut and no other heap's, whose lock guards those.
  HugePage* OwnHugePageAt(size_t index) const {
    return pool_.IsMapped(index) ? page_map_.HugePageAt(index) : nullptr;
  }
  static SpanKind KindOf(SizeClass c) {
    return ShapeOf(c).objects > 1 ? SpanKind::kShared : SpanKind::kSingle;
  }
  // How many entries a span of `pages` pages has among its huge page's.
  static size_t EntriesOf(SpanKind kind, size_t pages) {
    return kind == SpanKind::kShared ? pages : 1;
  }
  static size_t FirstPage(const Span* span) { return PageIndex(span->start) % kPagesPerHugePage; }

  os::VirtualMemory& memory_;
  os::Clock& clock_;
  MetadataAllocator& metadata_;
  PageMap& page_map_;
  PageHeap* const watched_;
  os::RankedLock lock_;
  HugePagePool::Maps* pool_maps_ ABSL_GUARDED_BY(lock_) = nullptr;
  HugePagePool pool_;  // guarded by lock_; InHeap alone reads it without
  HugePageAdvice advice_ ABSL_GUARDED_BY(lock_);
  HugePageFiller fillers_[kSpanKinds] ABSL_GUARDED_BY(lock_);
  Span* spare_span_ ABSL_GUARDED_BY(lock_) = nullptr;
  FreedSpans freed_ ABSL_GUARDED_BY(lock_);
  size_t freed_grown_pages_ ABSL_GUARDED_BY(lock_) = 0;  // of the last freed span that had grown
  // The huge page of each kind that was last left empty, and stays cut.
  HugePage* spares_[kSpanKinds] ABSL_GUARDED_BY(lock_) = {};
  ReleasePolicy policy_ ABSL_GUARDED_BY(lock_);
  size_t dirty_in_cut_ ABSL_GUARDED_BY(lock_) = 0;  // free dirty pages of huge pages that are cut
  size_t cut_ ABSL_GUARDED_BY(lock_) = 0;           // huge pages that are cut
  size_t used_pages_ ABSL_GUARDED_BY(lock_) = 0;
  size_t large_pages_ ABSL_GUARDED_BY(lock_) = 0;
  size_t large_spans_ ABSL_GUARDED_BY(lock_) = 0;
  size_t moved_mappings_ ABSL_GUARDED_BY(lock_) = 0;  // made by mremap and not merged since
  size_t release_cursor_ ABSL_GUARDED_BY(lock_) = 0;  // where ReleaseInside goes on
  // Once more are free and dirty, they are compared with the limit that was set for them.
  size_t dirty_bound_ ABSL_GUARDED_BY(lock_) = kNoLimit;
  size_t releasing_ ABSL_GUARDED_BY(lock_) = 0;  // threads in ReleaseUnlocked
  bool forking_ ABSL_GUARDED_BY(lock_) = false;  // a fork waits until there are none
  PageHeapStats totals_ ABSL_GUARDED_BY(lock_) = {};
  LargeClassStats large_classes_[kLargeClasses] ABSL_GUARDED_BY(lock_) = {};
  uint64_t released_bytes_ ABSL_GUARDED_BY(lock_) = 0;
  // When whole huge pages were last given back, and the first that the pool still knows of.
  uint64_t runs_released_ms_ ABSL_GUARDED_BY(lock_) = 0;
  uint64_t runs_released_since_ms_ ABSL_GUARDED_BY(lock_) = 0;
  uint64_t next_growth_release_ms_ ABSL_GUARDED_BY(lock_) = 0;
  uint64_t next_peak_release_ms_ ABSL_GUARDED_BY(lock_) = 0;
  size_t resident_at_return_ ABSL_GUARDED_BY(lock_) = 0;  // pages, at NoteIdleReturned
  size_t peak_at_growth_ ABSL_GUARDED_BY(lock_) = 0;      // pages, at TakeGrowth
  size_t peak_at_release_ ABSL_GUARDED_BY(lock_) = 0;     // pages, at the last ReleaseForGrowth
  size_t peak_at_ask_ ABSL_GUARDED_BY(lock_) = 0;         // pages, when AsksFirst last held
  std::atomic<size_t> peak_resident_{0};  // pages held, the most that HoldPeak has allowed
  size_t notice_pages_ ABSL_GUARDED_BY(lock_) = kNoLimit;
  size_t refuse_pages_ ABSL_GUARDED_BY(lock_) = kNoLimit;
  // While no more are in spans or dirty, no span passes the peak or a limit.
  size_t unwatched_pages_ ABSL_GUARDED_BY(lock_) = 0;
  size_t released_parts_ ABSL_GUARDED_BY(lock_) = 0;  // of spans of size classes
  std::atomic<uint64_t> copied_{0};
  std::atomic<uint64_t> copied_bytes_{0};
  alignas(kCacheLine) std::atomic<bool> has_grown_{false};  // read by every slow path
  std::atomic<bool> limit_noticed_{false};
  std::atomic<bool> refuses_{false};
  std::atomic<bool> hooked_{false};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_PAGE_HEAP_H_

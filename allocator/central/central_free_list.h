// SPDX-License-Identifier: Apache-2.0
//
// The free objects of one size class on one CPU: first an array of object pointers, the last ones
// that this CPU's thread caches gave back, then the spans that this CPU carved. Thread caches
// refill from it and flush into it in batches.
//
// Each list has its own lock. The array may hold objects of any shard's spans; a span is guarded
// by the lock of the list that owns it (named by span->shard, for good), so objects that find no
// room in an array go back to their spans under that lock.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_FREE_LIST_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_FREE_LIST_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/central/arena_epoch.h"
#include "allocator/heap/bad_pointer.h"
#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/node_heaps.h"
#include "allocator/heap/page_heap.h"
#include "allocator/heap/page_map.h"
#include "allocator/heap/span.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/params/size_class_table.h"
#include "allocator/util/attributes.h"

namespace spanmalloc {

class ArenaSet;

// What the central floor needs from the one below, and where objects of explicit arenas belong.
struct Heap {
  MetadataAllocator& metadata;
  PageMap& page_map;
  NodeHeaps& page_heap;
  FaultReporter report;
  ArenaSet* arenas = nullptr;
};

// Counts of one list (or a sum of lists) since the start, and what it holds now. What every batch
// changes comes first.
struct CentralFreeListStats {
  uint64_t taken;       // objects given to thread caches and callers
  uint64_t returned;    // objects taken back from them
  uint64_t fills;       // batches given
  uint64_t flushes;     // batches taken back
  size_t span_objects;  // free objects in the spans
  uint64_t fills_away;  // of the batches given, those that threads of other CPUs took
  uint64_t spills;      // of the batches taken back, those that found the array full
  uint64_t spans_made;
  uint64_t spans_freed;
  uint64_t spans_reused;  // spans that were full and got a free object again
  size_t array_objects;   // free objects in the array
  size_t spans;           // spans owned now
  size_t nonfull_spans;   // of them, those with free objects
  size_t released_parts;  // parts of spans, of kReleaseUnit bytes, given back to the kernel

  void Add(const CentralFreeListStats& other) {
    taken += other.taken;
    returned += other.returned;
    fills += other.fills;
    flushes += other.flushes;
    span_objects += other.span_objects;
    fills_away += other.fills_away;
    spills += other.spills;
    spans_made += other.spans_made;
    spans_freed += other.spans_freed;
    spans_reused += other.spans_reused;
    array_objects += other.array_objects;
    spans += other.spans;
    nonfull_spans += other.nonfull_spans;
    released_parts += other.released_parts;
  }
};

enum class IdleSince : uint8_t { kTick, kPeriod };

// What a search for memory to release may still do: release so many bytes, look at so many spans.
struct SpanSearch {
  // Spans that are looked at in vain count as one: no system call.
  static constexpr size_t kFruitless = 4;

  size_t bytes;
  size_t spans;
  size_t* resident = nullptr;  // as for PageHeap::Release
  bool by_hooks = false;       // the program's hooks release, which are called with no lock held
  size_t fruitless = 0;        // spans looked at in vain
};

// Neighbours in a batch of objects, [begin, end), that lie in the same span.
struct ObjectRun {
  Span* span;  // nullptr: done
  uint32_t begin;
  uint32_t end;
};

class CentralFreeList {
 public:
  constexpr CentralFreeList() = default;

  // Shards from this number on are explicit arenas; the pages of their spans don't show their class
  // to the fast path of free.
  static constexpr uint16_t kFirstArenaShard = 1024;

  // Requires: called once, before any other call.
  void Init(SizeClass size_class, uint16_t shard) {
    size_class_ = size_class;
    shard_ = shard;
    lock_.SetKind(os::KindOfClass(size_class));
  }

  // Forgets all spans, which the caller gives back to the page heap. Their live objects count as
  // returned. Requires: the array is empty.
  void Forget() ABSL_LOCKS_EXCLUDED(lock_);

  // As Forget, and begins to count anew. What was counted is added to `stats`.
  void BeginAnew(CentralFreeListStats* stats) ABSL_LOCKS_EXCLUDED(lock_);

  // Takes up to `want` objects, at most what the list holds beyond `reserve` in its array, into
  // `out`, lowest addresses first where they come from a span. Returns how many.
  size_t Remove(Heap& heap, void** out, size_t want, size_t reserve) ABSL_LOCKS_EXCLUDED(lock_);

  // As above, for a thread of another CPU.
  size_t RemoveAway(Heap& heap, void** out, size_t want, size_t reserve) ABSL_LOCKS_EXCLUDED(lock_);

  // As Remove with a new span carved if the list holds nothing, or several if they hold a single
  // object. 0 if out of memory, or caches are asked first. `*zeroed` is set to whether the objects
  // read as zeros.
  size_t RemoveOrCarve(Heap& heap, void** out, size_t want, bool* zeroed,
                       AtPeak at_peak = AtPeak::kGrow) ABSL_LOCKS_EXCLUDED(lock_);

  // Takes back objects[0, count) into the array, as many as fit. Returns how many; the caller
  // returns the others to their spans.
  size_t Insert(Heap& heap, void* const* objects, size_t count) ABSL_LOCKS_EXCLUDED(lock_);

  // Takes up to `want` objects out of the array to be returned to their spans: no part of the
  // traffic with thread caches, and not counted as such.
  size_t DrainArray(void** out, size_t want) ABSL_LOCKS_EXCLUDED(lock_);

  // Takes an object to be given out as one of another class, out of those that were free in the
  // spans since the tick before the last. nullptr if there are too few.
  void* Lend() ABSL_LOCKS_EXCLUDED(lock_);

  // Whether, at the last tick, there were enough of them. Reads one variable.
  bool lends() const { return idle_hint_.load(std::memory_order_relaxed) >= kIdleToLend; }

  // Whether, at the last tick, there were enough of them for ReleaseIdle to be worth a call. Reads
  // one variable.
  bool may_release() const { return idle_hint_.load(std::memory_order_relaxed) != 0; }

  // A tick: the number of objects that lay in the array untouched since the last one.
  size_t TakeLowWater() ABSL_LOCKS_EXCLUDED(lock_);

  // A tick for the spans alone.
  void TickSpans() ABSL_LOCKS_EXCLUDED(lock_);

  // Puts those of runs[0, count), which are parts of the batch `objects`, whose span this list owns
  // back into it, and marks them as done. Faulty objects are reported and dropped; so are those of
  // the first run, which was this list's when the caller looked, if it no longer is.
  void PutOwned(Heap& heap, void* const* objects, ObjectRun* runs, size_t count)
      ABSL_LOCKS_EXCLUDED(lock_);

  // Takes back the object of a span of this class, which holds no other. A faulty one is reported
  // and dropped.
  void PutWholeSpan(Heap& heap, void* object, Span* span) ABSL_LOCKS_EXCLUDED(lock_);

  // Takes back objects[0, count) of an explicit arena, unless `epoch` is over. Faulty objects are
  // reported and dropped.
  void PutBatch(Heap& heap, void* const* objects, size_t count, ArenaEpoch epoch)
      ABSL_LOCKS_EXCLUDED(lock_);

  // Counts objects that a thread returned past the array, straight to their spans.
  void NoteReturned(size_t count) ABSL_LOCKS_EXCLUDED(lock_);
  // One of those that count as returned, to whichever list of the class, was of another class.
  void NoteMisnamed() ABSL_LOCKS_EXCLUDED(lock_);

  // Gives empty spans back to the page heap.
  void FreeEmptySpans(Heap& heap) ABSL_LOCKS_EXCLUDED(lock_);

  // What the spans held free since the tick before the last (`since` kTick) or for a period that
  // ends here, because the program didn't want it, goes back to the kernel as far as it fills parts
  // of kReleaseUnit bytes, from the emptiest spans on.
  void ReleaseIdle(Heap& heap, IdleSince since, SpanSearch* search) ABSL_LOCKS_EXCLUDED(lock_);

  // As above with all that is free.
  void ReleaseAll(Heap& heap, SpanSearch* search) ABSL_LOCKS_EXCLUDED(lock_);

  // Reports an object of this class that is free already, so that nothing else is known of it.
  void ReportFreed(Heap& heap, void* object) const;
  void ReportRun(Heap& heap, void* const* objects, ObjectRun* run) const;

  // The nodes' numbers are the lowest bits of those of shards.
  static uint32_t NodeOfShard(const NodeHeaps& page_heap, size_t shard) {
    return static_cast<uint32_t>(shard & ((size_t{1} << page_heap.node_bits()) - 1));
  }

  SizeClass size_class() const { return size_class_; }
  uint16_t shard() const { return shard_; }

  // Roughly how many objects the list holds, without taking the lock.
  uint32_t held_hint() const { return held_hint_.load(std::memory_order_relaxed); }

  void AddStats(CentralFreeListStats* stats) ABSL_LOCKS_EXCLUDED(lock_);
  bool CheckInvariants() ABSL_LOCKS_EXCLUDED(lock_);

  os::RankedLock& lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }

 private:
  // Spans are listed by how full they are; the fullest give objects first, so that the others may
  // become empty and go back to the page heap.
  static constexpr size_t kLists = 8;
  // Behind those: spans that were searched for parts to release, and left alone since. In those of
  // the last list the kernel has some.
  static constexpr size_t kSearched = kLists;
  static constexpr size_t kReleased = kSearched + 1;
  // Fewer free bytes aren't lent; nor are they worth the search for memory to release, if the heap
  // isn't small.
  static constexpr size_t kMinIdleBytes = 64 * 1024;
  static constexpr size_t kMinIdleBytesIfSmall = 8 * 1024;
  // Small: less than 128 MiB at its largest. Then a share of that counts.
  static constexpr size_t kIdleShare = 2048;
  static constexpr uint8_t kIdleToLend = kMinIdleBytes / kMinIdleBytesIfSmall;
  static constexpr uint32_t kFirstCapacity = 32;

  const SizeClassInfo& info() const { return kSizeClassTable[size_class_]; }
  // Where a span cut so, with so many free objects, is listed.
  static uint8_t ListOf(const SpanShape& cut, uint64_t free_objects) {
    return static_cast<uint8_t>((free_objects * kLists * cut.fullness_scale) >> 32);
  }
  static uint8_t ListOf(const Span* span) { return ListOf(span->shape(), span->free_objects); }
  size_t Take(Heap& heap, void** out, size_t want, size_t reserve)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t IdleBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteIdleBytes() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void EndSpanTick() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool GrowArray(Heap& heap) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void FreeSpan(Heap& heap, Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteTaken(size_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void ReportObject(Heap& heap, void* object, Span* span) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Span* MakeSpan(Heap& heap, AtPeak at_peak) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t TakeWholeSpans(Heap& heap, void** out, size_t want, bool* zeroed, AtPeak at_peak)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static bool PutInPlace(SizeClass c, const SpanShape& cut, const void* object, Span* span);
  void PutRun(Heap& heap, void* const* objects, ObjectRun* runs, size_t count)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool PutInSpan(Heap& heap, void* const* objects, size_t count, Span* span)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Relist(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Unlist(Span* span) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteTouched(Heap& heap, Span* span, void* const* objects, size_t count)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void ReleaseSpans(Heap& heap, size_t bytes, SpanSearch* search)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t ReleasePartsOf(Heap& heap, Span* span, size_t* resident)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t PurgePartsOf(Heap& heap, Span* span, size_t* resident)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t NoteReleased(Span* span, uint64_t parts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void UpdateHint() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  os::RankedLock lock_{LockRank::kCentralFreeList};
  std::atomic<uint32_t> held_hint_{0};
  // IdleBytes at the last tick in multiples of kMinIdleBytesIfSmall, at most kIdleToLend.
  std::atomic<uint8_t> idle_hint_{0};
  SizeClass size_class_ = kNoSizeClass;
  uint16_t shard_ = 0;
  uint32_t count_ ABSL_GUARDED_BY(lock_) = 0;      // objects in the array
  uint32_t capacity_ ABSL_GUARDED_BY(lock_) = 0;   // of the array
  uint32_t low_water_ ABSL_GUARDED_BY(lock_) = 0;  // least count_ since TakeLowWater
  uint32_t spans_low_ ABSL_GUARDED_BY(lock_) = 0;  // least free in the spans since the last tick
  void** array_ ABSL_GUARDED_BY(lock_) = nullptr;
  // The same between the two ticks before, and between the tick before last and the last
  // ReleaseIdle of a period.
  uint32_t spans_low_before_ ABSL_GUARDED_BY(lock_) = 0;
  uint32_t spans_low_in_period_ ABSL_GUARDED_BY(lock_) = 0;
  SpanList nonfull_[kReleased + 1] ABSL_GUARDED_BY(lock_);
  CentralFreeListStats totals_ ABSL_GUARDED_BY(lock_) = {};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_FREE_LIST_H_

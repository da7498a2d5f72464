// SPDX-License-Identifier: Apache-2.0
//
// A region: address space that is reserved at once, committed in steps as it fills, and handed out
// from its start to its end. Blocks aren't freed one by one: a rewind to a mark, or a reset, frees
// what was handed out since.
//
// A region of one thread is bumped inline by the program (spanmalloc.h), through the two words of
// its front; one of several threads shows an empty front, so that every allocation comes here.
// Called by the entry points; RegionSet makes regions, and has the lock under which they grow.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_REGION_H_
#define SPANMALLOC_ALLOCATOR_HEAP_REGION_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/util/relaxed.h"

namespace spanmalloc {

class Region;

// The registry's, and ahead of the front: what a freed region's memory is first used for.
struct RegionLinks {
  Region* previous = nullptr;
  Region* next = nullptr;
};

// What the program's inline code reads and bumps; the owning thread's alone.
struct RegionFront {
  // Of a front without room: never an address of a region.
  static constexpr uintptr_t kNowhere = 1;

  uintptr_t at = kNowhere;
  uintptr_t limit = kNowhere;
};

// A place that a region may be rewound to.
struct RegionMark {
  uintptr_t position;
  uint64_t time;  // by the region's own count of marks and rewinds, which starts at its own number
};

enum class MarkFault : uint8_t {
  kNone,
  kForeign,  // no place in what is handed out of the region
  kPassed,   // the region was rewound to before it
};

struct RegionSizes {
  size_t used;  // bytes, what alignment cost included
  size_t committed;
  size_t reserved;
};

class Region : public RegionLinks, public RegionFront {
 public:
  // A region of [base, base + reserved), of which nothing is committed. `shared`: several threads
  // may allocate from it at once. `number` tells it from others: their marks lie in other times.
  Region(uintptr_t base, size_t reserved, bool shared, uint64_t number)
      : shared_(shared),
        base_(base),
        reserved_(reserved),
        start_(number * kMarksOfARegion),
        time_(start_),
        shared_at_(base),
        shared_limit_(base) {
    if (!shared) at = limit = base;
    live_ = LiveMark();
  }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // `size` bytes at `alignment`, a power of two, out of what is committed. nullptr if that doesn't
  // hold them; `*end` is then where they would end, or base + reserved + 1 if that is beyond all
  // ends. Requires: `size` isn't 0. Thread-safe if the region is shared.
  void* Allocate(size_t size, size_t alignment, uintptr_t* end) {
    return shared_ ? AllocateShared(size, alignment, end) : AllocateOwned(size, alignment, end);
  }

  // The rest isn't thread-safe, shared or not.

  RegionMark Mark() { return {At(), ++time_}; }

  // Frees what was handed out since `mark`. Does nothing if that isn't a mark of the region, or one
  // that was passed. (The last few places that the region was rewound to are known: a mark that was
  // passed long ago may count as good.)
  MarkFault Rewind(const RegionMark& mark);

  // Frees everything.
  void Reset() { MoveTo(base_); }

  // Of the words of a region that is gone, this one is another. (So it most likely is of what never
  // was a region.)
  bool IsLive() const { return live_ == LiveMark(); }
  void NoteGone();

  bool shared() const { return shared_; }
  uintptr_t base() const { return base_; }
  uintptr_t end() const { return base_ + reserved_; }
  RegionSizes Sizes() const { return {At() - base_, RelaxedLoad(committed_), reserved_}; }

  // RegionSet's, under its lock: bytes from the base on that are committed.
  size_t committed() const { return RelaxedLoad(committed_); }
  void SetCommitted(size_t bytes);

  bool CheckInvariants() const;

 private:
  struct Rewound {
    uintptr_t position;
    uint64_t time;
  };
  static constexpr size_t kRewindsKept = 8;
  static constexpr uintptr_t kLive = 0x5265'6769'6f6e'2121;

  // More than there will be. The start comes round after a million regions.
  static constexpr uint64_t kMarksOfARegion = uint64_t{1} << 44;

  uintptr_t LiveMark() const { return reinterpret_cast<uintptr_t>(this) ^ kLive; }
  uintptr_t At() const {
    return shared_ ? shared_at_.load(std::memory_order_relaxed) : RelaxedLoad(at);
  }
  uintptr_t EndOf(uintptr_t from, size_t size, size_t alignment) const;
  void* AllocateOwned(size_t size, size_t alignment, uintptr_t* end);
  void* AllocateShared(size_t size, size_t alignment, uintptr_t* end);
  void MoveTo(uintptr_t position);

  uintptr_t live_;
  const bool shared_;
  const uintptr_t base_;
  const size_t reserved_;
  size_t committed_ = 0;
  const uint64_t start_;
  uint64_t time_;
  // Rewinds, none of which a later one went before: ascending by time and by position.
  Rewound rewound_[kRewindsKept] = {};
  size_t rewinds_ = 0;
  // Of a shared region, in place of the front. Threads bump the first, on a line of its own.
  alignas(64) std::atomic<uintptr_t> shared_at_;
  alignas(64) std::atomic<uintptr_t> shared_limit_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_REGION_H_

// SPDX-License-Identifier: Apache-2.0
//
// Which huge pages of the window stand for others: for memory that a program's extent hooks gave,
// anywhere in the address space. It is known by its index modulo the window, as all memory is, so
// its place must be free: no heap's, and no other such memory's. A number for each place tells the
// 4 TiB block of the address space, and where an extent begins, a piece as it came from a hook or
// was split by one.
//
// An extent's places are written by who holds it, or with its page heap's lock held; read by
// anybody. Whoever finds a place free, or an extent to take, comes after what the last one did with
// it. All zeros to begin with.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_FOREIGN_MAP_H_
#define SPANMALLOC_ALLOCATOR_HEAP_FOREIGN_MAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/params/memory_geometry.h"

namespace spanmalloc {

class ForeignMap {
 public:
  struct Extent {
    size_t index;
    size_t count;
  };

  // Whether memory at `start` (a multiple of the huge page size) can have a place.
  static bool CanHold(uintptr_t start, size_t count) {
    return (start >> kWindowShift) <= kBlock && HugePageIndex(start) + count <= kWindowHugePages;
  }

  // Makes an extent of it. False, and nothing changed, if a place is taken. Requires: CanHold.
  bool Claim(uintptr_t start, size_t count) {
    const size_t index = HugePageIndex(start);
    for (size_t i = 0; i < count; ++i) {
      uint16_t none = 0;
      const uint16_t mark = MarkFor(start) | (i == 0 ? kStart : 0);
      // Acquire: pairs with the release in Clear.
      if (!marks_[index + i].compare_exchange_strong(none, mark, std::memory_order_acquire)) {
        Clear(index, i);
        return false;
      }
    }
    return true;
  }
  void Clear(size_t index, size_t count) {
    // Release: pairs with the acquires in Claim and Mark.
    for (size_t i = index; i < index + count; ++i) marks_[i].store(0, std::memory_order_release);
  }

  bool Has(size_t index) const { return (Mark(index) & kTaken) != 0; }
  bool HasAny(size_t index, size_t count) const {
    for (size_t i = index; i < index + count; ++i) {
      if (Has(i)) return true;
    }
    return false;
  }
  // Whether the memory at an address is here; whether any of a range is.
  bool Contains(uintptr_t address) const {
    const uint16_t mark = Mark(HugePageIndex(address));
    return (mark & kTaken) != 0 && (mark & kBlock) == address >> kWindowShift;
  }
  bool ContainsAny(uintptr_t start, size_t count) const {
    for (size_t i = 0; i < count; ++i) {
      if (Contains(start + (i << kHugePageShift))) return true;
    }
    return false;
  }
  uintptr_t AddressOf(size_t index) const {
    return (static_cast<uintptr_t>(Mark(index) & kBlock) << kWindowShift) +
           (index << kHugePageShift);
  }

  // Whether a huge page and the one before it are of one extent, or of none both.
  bool Joins(size_t index) const {
    return (Mark(index) & kStart) == 0 && index != 0 && Has(index) == Has(index - 1);
  }
  // Whether a huge page lies behind the one before it, of whichever extents.
  bool Adjoins(size_t index) const {
    return index != 0 && Has(index) && Has(index - 1) &&
           (Mark(index) & kBlock) == (Mark(index - 1) & kBlock);
  }
  bool Starts(size_t index) const { return (Mark(index) & kStart) != 0; }
  // The extent that has huge page `index`.
  Extent ExtentAt(size_t index) const {
    size_t first = index;
    while (!Starts(first)) --first;
    return {first, EndOf(index) - first};
  }
  // Where the extent that `index` is part of ends. Safe for a place that others take.
  size_t EndOf(size_t index) const {
    size_t end = index + 1;
    while (end < kWindowHugePages && Has(end) && !Starts(end)) ++end;
    return end;
  }
  // An extent begins at `index`, inside another one until now.
  void Split(size_t index) { marks_[index].fetch_or(kStart, std::memory_order_relaxed); }

  // The extent that begins at `index` is part of the one before it from now on.
  void Join(size_t index) {
    constexpr auto kInside = static_cast<uint16_t>(~(kStart | kKept));
    if (!IsKept(index)) {
      constexpr auto kNotKept = static_cast<uint16_t>(~kKept);
      marks_[ExtentAt(index - 1).index].fetch_and(kNotKept, std::memory_order_relaxed);
    }
    marks_[index].fetch_and(kInside, std::memory_order_relaxed);
  }

  // Whether nobody wanted the extent that begins at `index` when it was last offered.
  bool IsKept(size_t index) const { return (Mark(index) & kKept) != 0; }
  void SetKept(size_t index) { marks_[index].fetch_or(kKept, std::memory_order_relaxed); }

  // Whether the memory of the extent that begins at `index` is decommitted.
  bool IsDecommitted(size_t index) const { return (Mark(index) & kDecommitted) != 0; }
  void SetDecommitted(size_t index) {
    // Release: pairs with the acquires in Mark and TakeDecommitted.
    marks_[index].fetch_or(kDecommitted, std::memory_order_release);
  }
  // Notes that it isn't, for one of those who ask: false for the others.
  bool TakeDecommitted(size_t index) {
    constexpr auto kOthers = static_cast<uint16_t>(~kDecommitted);
    // Acquire: pairs with the release in SetDecommitted.
    return (marks_[index].fetch_and(kOthers, std::memory_order_acquire) & kDecommitted) != 0;
  }

 private:
  static constexpr uint16_t kBlock = (1 << 12) - 1;  // the bits of the block's number
  static constexpr uint16_t kKept = 1 << 12;
  static constexpr uint16_t kDecommitted = 1 << 13;
  static constexpr uint16_t kStart = 1 << 14;
  static constexpr uint16_t kTaken = 1 << 15;

  static uint16_t MarkFor(uintptr_t address) {
    return static_cast<uint16_t>((address >> kWindowShift) | kTaken);
  }
  // Acquire: pairs with the releases in Clear and SetDecommitted.
  uint16_t Mark(size_t index) const { return marks_[index].load(std::memory_order_acquire); }

  std::atomic<uint16_t> marks_[kWindowHugePages];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_FOREIGN_MAP_H_

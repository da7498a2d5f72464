// SPDX-License-Identifier: Apache-2.0
//
// From an address to what is there. Two tables over the window:
//   * the class map, one byte per page: the size class of the span that covers the page, 0 where
//     there is none. free() reads it once; NULL, foreign pointers and large blocks all read 0.
//   * the directory, one word per huge page: the HugePage that is cut there, or the large Span
//     that covers it whole. Only slow paths read it.
//
// Beside them, once a program has extent hooks: which entries are for memory outside the window.
//
// Readers take no lock: an entry is written before its span is published and stays until after its
// last block is freed, so whoever holds a live block reads a settled entry. Writers hold the lock
// of the page heap whose part of the window it is.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_PAGE_MAP_H_
#define SPANMALLOC_ALLOCATOR_HEAP_PAGE_MAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/heap/foreign_map.h"
#include "allocator/heap/huge_page.h"
#include "allocator/heap/span.h"
#include "allocator/os/virtual_memory.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/util/attributes.h"

namespace spanmalloc {

class PageMap {
 public:
  explicit constexpr PageMap(os::VirtualMemory& memory) : memory_(memory) {}

  // Reserves both tables for the first `window_bytes` of the window (a multiple of the huge page
  // size). False if the kernel refuses. Call once.
  bool Init(size_t window_bytes);

  // Makes the entries of huge pages [begin, end) writable, and some more behind them. Returns where
  // the writable ones from `begin` on end; 0 if the kernel refuses. Thread-safe.
  size_t Cover(size_t begin_huge_page, size_t end_huge_page);

  // Makes entries for memory outside the window possible. False if the kernel refuses memory.
  bool AdmitForeign();
  // nullptr while there are none.
  ForeignMap* foreign() const {
    // Acquire: pairs with the release in AdmitForeign.
    return foreign_.load(std::memory_order_acquire);
  }
  // Whether any of those entries are for such memory.
  bool HasForeign(size_t index, size_t count) const {
    const ForeignMap* foreign_map = foreign();
    return foreign_map != nullptr && foreign_map->HasAny(index, count);
  }

  // The size class of the page at `pointer`; any pointer may be asked for in a full window.
  ALLOC_FAST_PATH SizeClass ClassOf(const void* pointer) const {
    return classes_[PageIndex(reinterpret_cast<uintptr_t>(pointer))];
  }

  // The span that contains `pointer`, or nullptr if there is none. Safe for any pointer.
  Span* SpanOf(const void* pointer) const;

  // The span that starts at `start`, or nullptr if none does. Safe for any pointer, and faster.
  Span* SpanAt(const void* start) const;

  void SetClasses(uintptr_t start, size_t pages, SizeClass size_class);
  void SetHugePage(size_t index, HugePage* huge_page);
  void SetLargeSpan(size_t index, size_t huge_pages, Span* span);
  void ClearDirectory(size_t index, size_t huge_pages);
  // The one span that may contain `pointer`, or nullptr if none can. Safe for any pointer, and
  // reads nothing of the span itself.
  Span* CandidateFor(const void* pointer) const {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    const uintptr_t entry = DirectoryEntry(address);
    if (entry == 0) return nullptr;
    if ((entry & kLargeSpanTag) != 0) return reinterpret_cast<Span*>(entry & ~kLargeSpanTag);
    return reinterpret_cast<const HugePage*>(entry)->SpanBefore(PageInHugePage(address));
  }

  // The huge page at `index` if it is cut into spans, else nullptr.
  HugePage* HugePageAt(size_t index) const {
    const uintptr_t entry = directory_[index].load(std::memory_order_relaxed);
    return (entry & kLargeSpanTag) != 0 ? nullptr : reinterpret_cast<HugePage*>(entry);
  }

  // Bytes of table entries that were made writable.
  size_t covered_bytes() const { return covered_bytes_.load(std::memory_order_relaxed); }

  // Bytes that are resident of the entries of huge pages [begin, end) and of what Cover has made
  // writable with them.
  size_t ResidentBytes(size_t begin_huge_page, size_t end_huge_page) const;

 private:
  static constexpr uintptr_t kLargeSpanTag = 1;

  // Bytes of a table.
  struct ByteRange {
    size_t begin;
    size_t end;
  };

  static ByteRange Widen(size_t begin, size_t end, size_t table);
  ByteRange DirectoryOf(size_t begin_huge_page, size_t end_huge_page) const;
  ByteRange ClassesOf(size_t begin_huge_page, size_t end_huge_page) const;

  static size_t PageInHugePage(uintptr_t address) { return PageIndex(address) % kPagesPerHugePage; }

  // What the directory holds for the huge page of `address`; 0 for nothing.
  uintptr_t DirectoryEntry(uintptr_t address) const {
    const size_t index = HugePageIndex(address);
    if (index >= huge_pages_) return 0;
    return directory_[index].load(std::memory_order_relaxed);
  }

  os::VirtualMemory& memory_;
  // Until Init: one zero byte, so that free(NULL) is answered.
  uint8_t* classes_ = const_cast<uint8_t*>(&kNoClasses);
  std::atomic<uintptr_t>* directory_ = nullptr;
  size_t huge_pages_ = 0;  // entries reserved; they read as zero until they are written
  std::atomic<size_t> covered_bytes_{0};
  std::atomic<ForeignMap*> foreign_{nullptr};

  static constexpr uint8_t kNoClasses = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_PAGE_MAP_H_

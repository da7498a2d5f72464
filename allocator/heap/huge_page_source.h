// SPDX-License-Identifier: Apache-2.0
//
// Where a heap that has no part of the window of its own, an explicit arena's, gets whole huge
// pages from. It keeps what it gets until it needs it no more and its memory was given back to the
// kernel, or until all of its blocks are freed at once; a run may come back in parts, or together
// with what followed it.
//
// Called by HugePagePool with its page heap's lock held. What a run's memory is made resident and
// given back by is the heap's os::VirtualMemory.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_SOURCE_H_
#define SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_SOURCE_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

// A run of huge pages, by index in the window. An empty run means "none".
struct HugeRun {
  size_t index = 0;
  size_t count = 0;
  bool dirty = false;     // some of it may be resident and not zero
  size_t clean_tail = 0;  // how many at its end are neither
  size_t released = 0;    // how many were given back to the kernel not long ago
  bool advised = false;   // from and to a source: the kernel was given advice about it
};

// Which free runs of extents that came from a program's hooks.
enum class ForeignPart : uint8_t {
  kAny,  // extents that are free as a whole, but for clean ones that nobody wanted, and dirty parts
  kAll,  // extents that are free as a whole
};

class HugePageSource {
 public:
  // A run of `count` huge pages whose first index is a multiple of `alignment`, covered by the page
  // map. Empty if none can be had.
  virtual HugeRun Acquire(size_t count, size_t alignment) = 0;

  // The same at `index`.
  virtual HugeRun AcquireAt(size_t index, size_t count) = 0;

  // Takes a run back.
  virtual void Return(const HugeRun& run) = 0;

 protected:
  ~HugePageSource() = default;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_SOURCE_H_

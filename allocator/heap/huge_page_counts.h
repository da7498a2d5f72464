// SPDX-License-Identifier: Apache-2.0
//
// A page heap's huge pages, by what they are used for and by what the kernel gave for them. The
// page heap fills it in when somebody asks; the statistics keep it.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_COUNTS_H_
#define SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_COUNTS_H_

#include <cstddef>

#include "allocator/params/memory_geometry.h"

namespace spanmalloc {

struct HugePageCounts {
  // Of the pages of a huge page that is cut, in 16ths: as many in spans make it dense, fewer
  // sparse.
  static constexpr size_t kDense16ths = 15;
  static constexpr size_t kSparse16ths = 8;

  size_t mapped = 0;        // the sum of the next three
  size_t cut = 0;           // cut into spans
  size_t large = 0;         // of a large span
  size_t free = 0;          // of none
  size_t dense = 0;         // cut, and nearly all of it in spans
  size_t sparse = 0;        // cut, and less than half of it in spans
  size_t advised = 0;       // where the kernel was asked for a huge page
  size_t backed_bytes = 0;  // where it has given one

  void Add(const HugePageCounts& more) {
    mapped += more.mapped;
    cut += more.cut;
    large += more.large;
    free += more.free;
    dense += more.dense;
    sparse += more.sparse;
    advised += more.advised;
    backed_bytes += more.backed_bytes;
  }
  void AddCut(size_t used_pages) {
    ++cut;
    dense += used_pages * 16 >= kPagesPerHugePage * kDense16ths;
    sparse += used_pages * 16 < kPagesPerHugePage * kSparse16ths;
  }
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_COUNTS_H_

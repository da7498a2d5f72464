// SPDX-License-Identifier: Apache-2.0
//
// What the statistics count by class of length: the heap's runs of free pages, by whether they may
// be resident, which the page heap fills in when somebody asks; and large blocks.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_FREE_EXTENTS_H_
#define SPANMALLOC_ALLOCATOR_HEAP_FREE_EXTENTS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/params/large_classes.h"

namespace spanmalloc {

// The runs of one class.
struct ExtentStats {
  uint64_t dirty;  // runs that may be resident
  uint64_t dirty_bytes;
  uint64_t retained;  // runs that aren't
  uint64_t retained_bytes;
};

struct FreeExtents {
  ExtentStats classes[kExtentClasses] = {};

  void Add(size_t bytes, bool dirty) {
    if (bytes == 0) return;
    ExtentStats& of = classes[ExtentClassOf(bytes)];
    ++(dirty ? of.dirty : of.retained);
    (dirty ? of.dirty_bytes : of.retained_bytes) += bytes;
  }
  void Add(const FreeExtents& more) {
    for (size_t e = 0; e < kExtentClasses; ++e) {
      classes[e].dirty += more.classes[e].dirty;
      classes[e].dirty_bytes += more.classes[e].dirty_bytes;
      classes[e].retained += more.classes[e].retained;
      classes[e].retained_bytes += more.classes[e].retained_bytes;
    }
  }
};

// Large blocks of one class, since the start. A block that grew or shrank into another class counts
// as freed in the one and made in the other.
struct LargeClassStats {
  uint64_t made;
  uint64_t freed;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_FREE_EXTENTS_H_

// SPDX-License-Identifier: Apache-2.0
//
// A page heap with all it stands on, over a fake kernel and a fake clock. Hundreds of kilobytes:
// made with new.
#ifndef SPANMALLOC_TESTS_SUPPORT_HEAP_ON_FAKES_H_
#define SPANMALLOC_TESTS_SUPPORT_HEAP_ON_FAKES_H_

#include <cstddef>

#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/page_heap.h"
#include "allocator/heap/page_map.h"
#include "allocator/params/memory_geometry.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_virtual_memory.h"

namespace spanmalloc {

struct HeapOnFakes {
  explicit HeapOnFakes(size_t arena_bytes = size_t{4} << 30, size_t page_size = 4096)
      : memory(arena_bytes) {
    memory.SetPageSize(page_size);
    EXPECT_TRUE(page_map.Init(kWindowSize));
    EXPECT_TRUE(page_heap.Init(memory.arena_begin(), memory.arena_end()));
  }

  FakeVirtualMemory memory;
  FakeClock clock;
  MetadataAllocator metadata{memory};
  PageMap page_map{memory};
  PageHeap page_heap{memory, clock, metadata, page_map};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_HEAP_ON_FAKES_H_

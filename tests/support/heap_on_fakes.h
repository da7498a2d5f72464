// SPDX-License-Identifier: Apache-2.0
//
// A page heap with all it stands on, over a fake kernel and a fake clock. Hundreds of kilobytes:
// made with new.
#ifndef SPANMALLOC_TESTS_SUPPORT_HEAP_ON_FAKES_H_
#define SPANMALLOC_TESTS_SUPPORT_HEAP_ON_FAKES_H_

#include <cstddef>

#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/node_heaps.h"
#include "allocator/heap/page_heap.h"
#include "allocator/heap/page_map.h"
#include "allocator/params/memory_geometry.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_node_facts.h"
#include "tests/support/fake_text_files.h"
#include "tests/support/fake_virtual_memory.h"

namespace spanmalloc {

struct HeapOnFakes {
  // On a machine with system pages of `page_size` bytes, whose nodes that have CPUs are listed in
  // `node_list` as the kernel lists them.
  explicit HeapOnFakes(size_t arena_bytes = size_t{4} << 30, size_t page_size = 4096,
                       const char* node_list = "0")
      : memory(arena_bytes) {
    memory.SetPageSize(page_size);
    files.files["/sys/devices/system/node/has_cpu"] = node_list;
    EXPECT_TRUE(page_map.Init(kWindowSize));
    EXPECT_TRUE(node_heaps.Init(memory.arena_begin(), memory.arena_end(),
                                node_heaps.nodes().Count(files, 0)));
    files.reads = 0;
  }

  FakeVirtualMemory memory;
  FakeClock clock;
  MetadataAllocator metadata{memory};
  PageMap page_map{memory};
  FakeTextFiles files;
  FakeNodeFacts node_facts;
  NodeHeaps node_heaps{memory, clock, metadata, page_map, node_facts};
  PageHeap& page_heap = node_heaps.first();
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_HEAP_ON_FAKES_H_

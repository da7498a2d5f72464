// SPDX-License-Identifier: Apache-2.0
//
// The central floor over a heap on fakes, with faults kept in the FaultLog.
#ifndef SPANMALLOC_TESTS_CENTRAL_CENTRAL_ON_FAKES_H_
#define SPANMALLOC_TESTS_CENTRAL_CENTRAL_ON_FAKES_H_

#include <algorithm>
#include <vector>

#include "allocator/central/arena_set.h"
#include "allocator/central/per_cpu_central.h"
#include "tests/support/fault_log.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {

struct CentralOnFakes : HeapOnFakes {
  explicit CentralOnFakes(size_t arena_bytes = size_t{4} << 30, const char* node_list = "0")
      : HeapOnFakes(arena_bytes, 4096, node_list) {
    FaultLog::Clear();
  }

  Heap heap{metadata, page_map, node_heaps, &FaultLog::Report};
  ArenaSet arenas{heap};
  PerCpuCentral central{Heap{metadata, page_map, node_heaps, &FaultLog::Report, &arenas}};

  // As many objects of a class, in batches; fewer if there are no more.
  std::vector<void*> Take(SizeClass size_class, size_t count) {
    std::vector<void*> all;
    void* out[PerCpuCentral::kMaxBatch];
    while (all.size() < count) {
      const size_t wanted = std::min<size_t>(count - all.size(), PerCpuCentral::kMaxBatch);
      const size_t got = central.Remove(size_class, out, wanted);
      if (got == 0) break;
      all.insert(all.end(), out, out + got);
    }
    return all;
  }

  // Frees a block of an explicit arena.
  void FreeInArena(void* block) {
    Span* span = page_map.SpanOf(block);
    ASSERT_NE(span, nullptr);
    if (span->size_class != kNoSizeClass) {
      arenas.Free(span, block);
    } else {
      EXPECT_EQ(node_heaps.FreeLarge(block), LargeFault::kNone);
    }
  }
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_CENTRAL_CENTRAL_ON_FAKES_H_

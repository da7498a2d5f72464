// SPDX-License-Identifier: Apache-2.0
//
// The central floor over a heap on fakes, with faults kept in the FaultLog.
#ifndef SPANMALLOC_TESTS_CENTRAL_CENTRAL_ON_FAKES_H_
#define SPANMALLOC_TESTS_CENTRAL_CENTRAL_ON_FAKES_H_

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
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_CENTRAL_CENTRAL_ON_FAKES_H_

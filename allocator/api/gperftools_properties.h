// SPDX-License-Identifier: Apache-2.0
//
// gperftools' named numbers ("generic.heap_size", "tcmalloc.pageheap_free_bytes" ...), as they are
// for this heap. malloc_extension_api.cc answers with them. docs/gperftools.md says what each means
// here.
//
// They add up as gperftools' do: generic.heap_size is current_allocated_bytes and the free bytes of
// thread caches, transfer cache (the CPUs' lists), central cache (spans that are partly used) and
// page heap, released or not.
#ifndef SPANMALLOC_ALLOCATOR_API_GPERFTOOLS_PROPERTIES_H_
#define SPANMALLOC_ALLOCATOR_API_GPERFTOOLS_PROPERTIES_H_

#include <cstddef>
#include <string_view>

#include "allocator/telemetry/stats_snapshot.h"

namespace spanmalloc {

// Bytes that the heap has from the kernel, released ones included.
size_t HeapBytes(const StatsSnapshot& stats);

// False, and *value untouched, if there is no such number.
bool ReadProperty(std::string_view name, size_t* value);

// False, and nothing changed, if there is no such number or it can't be set.
bool WriteProperty(std::string_view name, size_t value);

// How fast free memory goes back: 1 stands for the default dirty_decay_ms, 10 for a tenth of it, 0
// for never.
double ReleaseRate();
void SetReleaseRate(double rate);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_GPERFTOOLS_PROPERTIES_H_

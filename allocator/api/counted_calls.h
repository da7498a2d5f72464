// SPDX-License-Identifier: Apache-2.0
//
// The calls of a thread that counts them (cache/thread_counts.h): all of them come to slow paths,
// which begin or end with one of these. Each does nothing in a thread that turns out not to count,
// and in a signal handler that interrupted a slow path, whose blocks aren't counted.
#ifndef SPANMALLOC_ALLOCATOR_API_COUNTED_CALLS_H_
#define SPANMALLOC_ALLOCATOR_API_COUNTED_CALLS_H_

#include <cstddef>

#include "allocator/util/attributes.h"

namespace spanmalloc {

// An object of class `c` from the thread's cache, counted: what a hit is to other threads. nullptr
// if there is none, or the class is kNoSizeClass.
ALLOC_SLOW_PATH void* PopCounted(size_t c);

// Counts an allocation. `block` may be nullptr.
ALLOC_SLOW_PATH void CountAllocated(const void* block);

// Counts that `block` is about to be freed, and puts it into the thread's cache. False if it
// doesn't fit there; freeing it is left to the caller.
ALLOC_SLOW_PATH bool PushCounted(void* block);

// Counts that a block of so many bytes was freed without the above.
ALLOC_SLOW_PATH void CountFreed(size_t bytes);

// Counts that realloc left a block of `old_bytes` where it is, with `bytes` now.
ALLOC_SLOW_PATH void CountResized(size_t old_bytes, size_t bytes);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_COUNTED_CALLS_H_

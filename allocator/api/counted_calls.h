// SPDX-License-Identifier: Apache-2.0
//
// The calls of a thread that counts them (cache/thread_counts.h): all of them come to slow paths,
// which hand those that are a malloc or a free to the first two of these, and begin or end other
// ones with the rest. Each counts nothing in a thread that turns out not to count, and in a signal
// handler that interrupted a slow path, whose blocks aren't counted. The program's hooks at every
// call (call_hooks.h) are told of what is counted.
#ifndef SPANMALLOC_ALLOCATOR_API_COUNTED_CALLS_H_
#define SPANMALLOC_ALLOCATOR_API_COUNTED_CALLS_H_

#include <cstddef>

#include "allocator/util/attributes.h"

namespace spanmalloc {

// As AllocateMiss, after a look at the thread's cache: what a hit is to other threads.
ALLOC_SLOW_PATH void* AllocateCounted(size_t size);

// As FreeMiss, of a block that isn't NULL; the same for a free.
ALLOC_SLOW_PATH void FreeCounted(void* block);

// Counts an allocation, for which so many bytes were asked. `block` may be nullptr.
ALLOC_SLOW_PATH void CountAllocated(const void* block, size_t size);

// Counts that `block`, of so many bytes, was freed, or is about to be, without the above.
ALLOC_SLOW_PATH void CountFreed(const void* block, size_t bytes);

// Counts that realloc left a block of `old_bytes` where it is, with `bytes` now.
ALLOC_SLOW_PATH void CountResized(const void* block, size_t old_bytes, size_t bytes);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_COUNTED_CALLS_H_

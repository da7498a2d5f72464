// SPDX-License-Identifier: Apache-2.0
//
// Questions about a pointer that are answered without reporting a bad one, for the entry points
// that exist to ask them. Safe for any pointer; of a block that another thread frees meanwhile the
// answer may be either.
#ifndef SPANMALLOC_ALLOCATOR_API_BLOCK_CHECKS_H_
#define SPANMALLOC_ALLOCATOR_API_BLOCK_CHECKS_H_

#include <cstddef>

namespace spanmalloc {

// Whether a block of this heap lies at `pointer`, be it anywhere in the block.
bool IsInHeap(const void* pointer);

// Whether `pointer` is where a block of this heap begins. Small blocks that are free count too, as
// long as there is a live one beside them in their span.
bool IsBlock(const void* pointer);

// Bytes in the free blocks that the calling thread's cache holds.
size_t OwnCacheBytes();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_BLOCK_CHECKS_H_

// SPDX-License-Identifier: Apache-2.0
//
// Blocks filled when they are allocated and when they are freed, so that a program which reads what
// it never wrote, or what it has freed, notices: mallopt's M_PERTURB, the option `perturb`. Threads
// have no caches then, so that every block passes the slow paths, which call this: without it, a
// thread that has a cache pays nothing.
#ifndef SPANMALLOC_ALLOCATOR_API_BLOCK_FILLING_H_
#define SPANMALLOC_ALLOCATOR_API_BLOCK_FILLING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/util/attributes.h"

namespace spanmalloc {

// What freed blocks are filled with, and allocated ones with its complement; 0: none are.
extern __attribute__((visibility("hidden"))) std::atomic<uint8_t> filling_byte;

inline bool FillsBlocks() {
  return ABSL_PREDICT_FALSE(filling_byte.load(std::memory_order_relaxed) != 0);
}

void FillAllocated(void* block, size_t size);

// `block` is about to be freed; nothing happens if it isn't the start of a block.
void FillFreed(void* block);

// From now on every block is filled with that byte. False, and nothing changed, if other threads
// have caches. 0 ends it.
bool SetFilling(uint8_t byte);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_BLOCK_FILLING_H_

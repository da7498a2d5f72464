// SPDX-License-Identifier: Apache-2.0
//
// What the program did wrong with a pointer, as the floor that noticed it tells the floor that
// reports it. The reporter may end the process; if it returns, the pointer is dropped.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_BAD_POINTER_H_
#define SPANMALLOC_ALLOCATOR_HEAP_BAD_POINTER_H_

#include <cstddef>
#include <cstdint>

#include "allocator/params/memory_geometry.h"

namespace spanmalloc {

enum class Fault : uint8_t {
  kNotABlock,     // no block of the heap starts there, nor did one just before: foreign or wild
  kDoubleFree,    // the block is free already
  kInterior,      // the pointer is inside a block
  kMisaligned,    // inside a block, and not even aligned as every block is
  kSizeMismatch,  // the block was freed under a size that isn't its own
};

struct BadPointer {
  Fault fault;
  const void* pointer;
  size_t claimed_size;      // kSizeMismatch: the size that the caller named, or its class's
  size_t block_size;        // the block's own size, where there is one
  const void* block_start;  // kInterior, kMisaligned: where the block starts
};

// The fault of a pointer into a block, past its start.
inline Fault InteriorFault(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % kMinAlignment == 0 ? Fault::kInterior
                                                                   : Fault::kMisaligned;
}

using FaultReporter = void (*)(const BadPointer&);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_BAD_POINTER_H_

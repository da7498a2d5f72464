// SPDX-License-Identifier: Apache-2.0
//
// realloc of a block to size 0, which opt.zero_realloc decides about.
#ifndef SPANMALLOC_ALLOCATOR_API_ZERO_REALLOC_H_
#define SPANMALLOC_ALLOCATOR_API_ZERO_REALLOC_H_

#include <cstdint>

#include "allocator/util/attributes.h"

namespace spanmalloc {

// What realloc(block, 0) returns; `block` isn't NULL.
ALLOC_SLOW_PATH void* ReallocateToZero(void* block);

// How often that was asked for.
uint64_t ZeroReallocCount();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_ZERO_REALLOC_H_

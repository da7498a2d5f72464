// SPDX-License-Identifier: Apache-2.0
//
// The words that mark which road a function is on. Every floor uses them; they generate no code.
#ifndef SPANMALLOC_ALLOCATOR_UTIL_ATTRIBUTES_H_
#define SPANMALLOC_ALLOCATOR_UTIL_ATTRIBUTES_H_

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"

// On the hit path of malloc, free or sized delete: inlined into the entry point.
#define ALLOC_FAST_PATH ABSL_ATTRIBUTE_ALWAYS_INLINE inline

// A cold continuation: never inlined, so that the fast path needs no stack frame and ends in a
// tail call to it.
#define ALLOC_SLOW_PATH ABSL_ATTRIBUTE_NOINLINE

#endif  // SPANMALLOC_ALLOCATOR_UTIL_ATTRIBUTES_H_

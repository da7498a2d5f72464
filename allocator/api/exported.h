// SPDX-License-Identifier: Apache-2.0
//
// The mark of the functions that programs see.
#ifndef SPANMALLOC_ALLOCATOR_API_EXPORTED_H_
#define SPANMALLOC_ALLOCATOR_API_EXPORTED_H_

// Exported from the shared library; entry points start on a cache line.
#define SPANMALLOC_EXPORT __attribute__((visibility("default")))
#define SPANMALLOC_ENTRY __attribute__((visibility("default"), aligned(64)))

#endif  // SPANMALLOC_ALLOCATOR_API_EXPORTED_H_

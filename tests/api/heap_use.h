// SPDX-License-Identifier: Apache-2.0
//
// How tests of the entry points use the heap: blocks that the compiler can't do without.
#ifndef SPANMALLOC_TESTS_API_HEAP_USE_H_
#define SPANMALLOC_TESTS_API_HEAP_USE_H_

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

namespace spanmalloc {

inline constexpr size_t kMiB = size_t{1} << 20;

// Keeps the compiler from knowing where a block came from and that it is freed.
inline void* Hide(void* block) {
  __asm__ volatile("" : "+r"(block) : : "memory");
  return block;
}

// Allocates 64 MiB, writes to it and frees it, in blocks whose pages are kept for a while.
inline void UseAndFree64MiB() {
  static void* used[64];
  for (void*& block : used) {
    block = malloc(kMiB);
    memset(Hide(block), 1, kMiB);
    Hide(block);
  }
  for (void* block : used) free(block);
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_API_HEAP_USE_H_

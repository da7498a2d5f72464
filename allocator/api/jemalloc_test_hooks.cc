// SPDX-License-Identifier: Apache-2.0
//
// Two variables that Debian's libjemalloc.so.2 exports for jemalloc's own tests. Nothing reads
// them. Linked into the library of that name only, so that it lacks no symbol of the other.
#include "allocator/api/exported.h"

extern "C" {

SPANMALLOC_EXPORT void (*je_test_hooks_arena_new_hook)() = nullptr;
SPANMALLOC_EXPORT void (*je_test_hooks_libc_hook)() = nullptr;

}  // extern "C"

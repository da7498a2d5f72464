// SPDX-License-Identifier: Apache-2.0
//
// What is free goes back because the program asks for it. Called by the entry points and by
// mallctl's handlers, in any thread. Each takes time in proportion to what there is; in a signal
// handler that interrupted a slow path they do nothing.
#ifndef SPANMALLOC_ALLOCATOR_API_PURGE_H_
#define SPANMALLOC_ALLOCATOR_API_PURGE_H_

#include <cstddef>

namespace spanmalloc {

// Gives the calling thread's cached objects back.
void FlushThreadCache();

// Gives back all that is free: this thread's cache, the CPUs' arrays, the page heap's free pages.
// Returns the number of bytes returned to the kernel.
size_t PurgeAll();

// The same for one arena: the heap that all threads share (0), or an explicit one.
void PurgeArena(unsigned arena);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_PURGE_H_

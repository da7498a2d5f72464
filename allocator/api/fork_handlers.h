// SPDX-License-Identifier: Apache-2.0
//
// fork() in a process whose other threads may be anywhere in the allocator: every lock is taken
// before, in rank order, and given back after, so that the child's heap is in order and its locks
// are free. The child disowns the caches of the threads it doesn't have; a later slow path returns
// what they held.
#ifndef SPANMALLOC_ALLOCATOR_API_FORK_HANDLERS_H_
#define SPANMALLOC_ALLOCATOR_API_FORK_HANDLERS_H_

namespace spanmalloc {

// Called once, when the runtime is made.
void RegisterForkHandlers();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_FORK_HANDLERS_H_

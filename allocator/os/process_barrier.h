// SPDX-License-Identifier: Apache-2.0
//
// A memory barrier on every thread of the process, at the expense of its caller alone.
#ifndef SPANMALLOC_ALLOCATOR_OS_PROCESS_BARRIER_H_
#define SPANMALLOC_ALLOCATOR_OS_PROCESS_BARRIER_H_

namespace spanmalloc::os {

// Asks the kernel for the barrier; it may take some milliseconds. False if there is none.
bool RegisterProcessBarrier();

// When it returns true, every thread has passed a full barrier at some point of its program since
// the call: what it did before that point is seen by the caller, and what the caller did before the
// call is seen by what the thread does after that point. Requires: registered.
bool ProcessBarrier();

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_PROCESS_BARRIER_H_

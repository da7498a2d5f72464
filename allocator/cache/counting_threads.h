// SPDX-License-Identifier: Apache-2.0
//
// Makes the threads that exist count their calls (thread_counts.h): what hooks at every call need,
// which are called where calls are counted. Each thread is told by its `counting`, and its cache is
// hidden from it as idle caches are (idle_caches.h, steps 1 and 2): from then on its calls come to
// slow paths, the first of which gives it its counts.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_COUNTING_THREADS_H_
#define SPANMALLOC_ALLOCATOR_CACHE_COUNTING_THREADS_H_

#include "allocator/cache/thread_registry.h"

namespace spanmalloc {

// When it returns, every thread but one whose slow path lasts longer than this waits comes to a
// slow path with each call; that one does after its next. Threads that begin later are the caller's
// concern (ThreadCountsPool::SetAll), and those that have no state yet, or share their CPU's cache,
// know by themselves. Where the kernel has no process barrier, each thread follows at its next slow
// path.
void MakeThreadsCount(ThreadRegistry& registry) ABSL_LOCKS_EXCLUDED(registry.lock());

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_COUNTING_THREADS_H_

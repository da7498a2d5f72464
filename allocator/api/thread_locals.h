// SPDX-License-Identifier: Apache-2.0
//
// The calling thread's variables: 32 bytes of initial-exec TLS, small enough for the space glibc
// keeps for libraries that are loaded by dlopen.
#ifndef SPANMALLOC_ALLOCATOR_API_THREAD_LOCALS_H_
#define SPANMALLOC_ALLOCATOR_API_THREAD_LOCALS_H_

#include "allocator/cache/thread_cache.h"
#include "allocator/cache/thread_locals.h"
#include "allocator/util/attributes.h"
#include "allocator/util/relaxed.h"

namespace spanmalloc {

// Hidden, so that the fast path reaches them without the global offset table.
extern __attribute__((visibility("hidden"))) ThreadCache empty_cache;
extern __attribute__((visibility("hidden"),
                      tls_model("initial-exec"))) constinit thread_local ThreadLocals thread_locals;

// Whether the calling thread counts its calls, or hasn't found out yet. (Another thread may set it:
// ThreadState::AskToCount.)
ALLOC_FAST_PATH bool MayCount() { return RelaxedLoad(thread_locals.counting); }

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_THREAD_LOCALS_H_

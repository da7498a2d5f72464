// SPDX-License-Identifier: Apache-2.0
//
// The calling thread's variables: 24 bytes of initial-exec TLS, small enough for the space glibc
// keeps for libraries that are loaded by dlopen.
#ifndef SPANMALLOC_ALLOCATOR_API_THREAD_LOCALS_H_
#define SPANMALLOC_ALLOCATOR_API_THREAD_LOCALS_H_

#include <cstdint>

#include "allocator/cache/thread_cache.h"
#include "allocator/cache/thread_state.h"

namespace spanmalloc {

struct ThreadLocals {
  // Where the fast path pops and pushes; the empty cache while there is no thread state, and
  // during slow paths. Loaded once per operation.
  ThreadCache* cache;
  // nullptr before the thread's first slow path, and after its cache was returned.
  ThreadState* state;
  // How many slow paths the thread is in. More than one: a signal handler or something that a slow
  // path called came back to the allocator.
  uint32_t depth;
  // The thread is ending: its cache was returned, and it gets no other.
  bool ended;
};

// Hidden, so that the fast path reaches them without the global offset table.
extern __attribute__((visibility("hidden"))) ThreadCache empty_cache;
extern __attribute__((visibility("hidden"),
                      tls_model("initial-exec"))) constinit thread_local ThreadLocals thread_locals;

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_THREAD_LOCALS_H_

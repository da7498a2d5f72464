// SPDX-License-Identifier: Apache-2.0
//
// A thread's own variables, and what begins and ends a slow path: while one lasts, the thread's
// fast paths find the empty cache. The entry points keep them in thread-local storage; a
// ThreadState knows where its thread's are, for taking back what an idle thread caches
// (idle_caches.h).
#ifndef SPANMALLOC_ALLOCATOR_CACHE_THREAD_LOCALS_H_
#define SPANMALLOC_ALLOCATOR_CACHE_THREAD_LOCALS_H_

#include <atomic>
#include <cstdint>

#include "allocator/cache/thread_cache.h"
#include "allocator/cache/thread_counts.h"
#include "allocator/cache/thread_state.h"
#include "allocator/cache/turns.h"
#include "allocator/util/relaxed.h"

namespace spanmalloc {

struct ThreadLocals {
  // Where the fast path pops and pushes; the empty cache while there is no thread state, during
  // slow paths, while the thread's cache is being taken back, and as long as the thread counts its
  // calls. Loaded once per operation.
  ThreadCache* cache;
  // nullptr before the thread's first slow path, and after its cache was returned.
  ThreadState* state;
  // How many slow paths the thread is in. More than one: a signal handler or something that a slow
  // path called came back to the allocator.
  uint16_t depth;
  // The thread is ending: its cache was returned, and it gets no other.
  bool ended;
  // The thread has no cache, and uses that of the CPU it runs on (cpu_caches.h).
  bool shares = false;
  // The thread counts its calls in `counts`; or that is nullptr, and the thread hasn't found out
  // yet whether it is to (Runtime::CountsOrNull).
  bool counting = false;
  // How the thread comes and goes, where threads are many.
  Turns turns = {};
  // The explicit arena that the thread allocates from; 0: none. Its cache is hidden then.
  uint16_t arena = 0;
  ThreadCounts* counts = nullptr;
};
static_assert(sizeof(ThreadLocals) == 32);

inline void BeginSlowPath(ThreadLocals& own, ThreadCache* empty_cache) {
  RelaxedStore(own.depth, static_cast<uint16_t>(own.depth + 1));
  RelaxedStore(own.cache, empty_cache);
  // What follows comes after both: for a signal handler that interrupts it; and for ThreadState's
  // HideFromOwner, whose barrier makes of this a fence of the machine.
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

inline void EndSlowPath(ThreadLocals& own, ThreadCache* empty_cache) {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (own.depth == 1) {
    RelaxedStore(own.cache, own.state == nullptr ? empty_cache : own.state->Visible());
  }
  // Release: pairs with the acquires in ThreadState::HideFromOwner and HideCounted.
  __atomic_store_n(&own.depth, static_cast<uint16_t>(own.depth - 1), __ATOMIC_RELEASE);
}

// The same in a thread whose cache is hidden for good, and that is in no slow path: `cache` is the
// empty cache and stays it. (What a signal handler frees meanwhile is put aside until the end of
// the next slow path.)
inline void BeginHiddenPath(ThreadLocals& own) {
  RelaxedStore(own.depth, uint16_t{1});
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

inline void EndHiddenPath(ThreadLocals& own) {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  // Release: pairs with the acquires in ThreadState::HideFromOwner and HideCounted.
  __atomic_store_n(&own.depth, uint16_t{0}, __ATOMIC_RELEASE);
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_THREAD_LOCALS_H_

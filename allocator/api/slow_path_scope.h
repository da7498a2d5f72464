// SPDX-License-Identifier: Apache-2.0
//
// What every slow path stands in: while one lasts, its thread's fast paths find the empty cache,
// so that a signal handler or a callee which allocates comes to a slow path too, sees that it is
// not the first, and keeps its hands off the locks.
#ifndef SPANMALLOC_ALLOCATOR_API_SLOW_PATH_SCOPE_H_
#define SPANMALLOC_ALLOCATOR_API_SLOW_PATH_SCOPE_H_

#include "allocator/api/runtime.h"
#include "allocator/api/slow_path.h"
#include "allocator/api/thread_locals.h"
#include "allocator/util/sharing_counts.h"

namespace spanmalloc {

class SlowPathScope {
 public:
  SlowPathScope() {
    CountEvent(CountedEvent::kSlowPath);
    BeginSlowPath(thread_locals, &empty_cache);
  }
  ~SlowPathScope() {
    EndSlowPath(thread_locals, &empty_cache);
    if (thread_locals.depth == 0) {
      if (void* deferred = runtime.reentrant.TakeDeferred(); ABSL_PREDICT_FALSE(deferred)) {
        FreeDeferred(deferred);
      }
    }
  }
  SlowPathScope(const SlowPathScope&) = delete;
  SlowPathScope& operator=(const SlowPathScope&) = delete;

  // Whether the thread was in a slow path already.
  bool nested() const { return thread_locals.depth > 1; }

 private:
  static void FreeDeferred(void* block) {
    while (block != nullptr) {
      void* next = *static_cast<void**>(block);
      FreeSlow(block);
      block = next;
    }
  }
};

// What is done outside at the end of a slow path, which has nothing left to do: the program's code
// may run, and allocate. Requires: the scope isn't nested.
class OutsideSlowPath {
 public:
  OutsideSlowPath() { EndSlowPath(thread_locals, &empty_cache); }
  ~OutsideSlowPath() { BeginSlowPath(thread_locals, &empty_cache); }
  OutsideSlowPath(const OutsideSlowPath&) = delete;
  OutsideSlowPath& operator=(const OutsideSlowPath&) = delete;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_SLOW_PATH_SCOPE_H_

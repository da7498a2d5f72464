// SPDX-License-Identifier: Apache-2.0
//
// What the hit path of malloc and free touches: for each size class a stack of free objects, as an
// array of pointers kept apart from the objects. A hit moves the top by one; nothing else is
// written, no lock is taken and no object is touched.
//
// The slot below the bottom of every stack holds nullptr, so an empty stack is noticed by what the
// pop reads. A stack whose top is at its limit sends frees to the slow path. A thread that has no
// cache yet, or none any more, points at the empty cache, whose stacks are both: there is no other
// test for "not initialised".
//
// Only the owning thread moves tops and writes slots; others read them under the lock of the
// ThreadState that the cache is part of, for statistics and to take back what an idle thread
// caches. Limits and the arrays themselves are changed by the owner too, under that lock.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_THREAD_CACHE_H_
#define SPANMALLOC_ALLOCATOR_CACHE_THREAD_CACHE_H_

#include <cstddef>

#include "allocator/params/size_class_map.h"
#include "allocator/params/size_class_table.h"
#include "allocator/util/attributes.h"
#include "allocator/util/relaxed.h"

namespace spanmalloc {

// The sentinel under an empty stack, and the place where it would start.
inline void* empty_stack[2] = {nullptr, nullptr};

struct alignas(kCacheLine) ThreadCache {
  // Every stack empty and full at once.
  constexpr ThreadCache() {
    for (size_t c = 0; c < kSizeClassEnd; ++c) {
      top[c] = &empty_stack[1];
      limit[c] = &empty_stack[1];
    }
  }

  // The object on top of the stack of `c`, now the caller's; nullptr if the stack is empty.
  ALLOC_FAST_PATH void* Pop(size_t c) {
    void** stack_top = RelaxedLoad(top[c]);
    void* object = RelaxedLoad(stack_top[-1]);
    if (ABSL_PREDICT_TRUE(object != nullptr)) RelaxedAdvance<-1>(top[c], stack_top);
    return object;
  }

  // Puts `object` on the stack of `c`. False if it is full.
  ALLOC_FAST_PATH bool Push(size_t c, void* object) {
    void** stack_top = RelaxedLoad(top[c]);
    if (ABSL_PREDICT_FALSE(stack_top >= limit[c])) return false;
    RelaxedStore(*stack_top, object);
    RelaxedAdvance<1>(top[c], stack_top);
    return true;
  }

  // Whether allocations of up to kMaxTableSize find their class, and sized frees: else they find
  // one whose stack is empty and full. The owner, in a slow path.
  void ShowSmallClasses(bool shown) {
    for (size_t i = 0; i < kSmallTableSize; ++i) {
      RelaxedStore(small_class[i], shown ? kSmallClassTable[i] : kNoSizeClass);
    }
  }

  void** top[kSizeClassEnd];
  void** limit[kSizeClassEnd];
  SmallClassTable small_class = kSmallClassTable;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_THREAD_CACHE_H_

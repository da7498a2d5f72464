// SPDX-License-Identifier: Apache-2.0
//
// Relaxed loads and stores of plain variables that one thread writes and others may look at. On
// every supported machine they are ordinary moves.
#ifndef SPANMALLOC_ALLOCATOR_UTIL_RELAXED_H_
#define SPANMALLOC_ALLOCATOR_UTIL_RELAXED_H_

#include <cstddef>

#include "allocator/util/attributes.h"

namespace spanmalloc {

template <typename T>
ALLOC_FAST_PATH T RelaxedLoad(const T& variable) {
  return __atomic_load_n(&variable, __ATOMIC_RELAXED);
}

template <typename T>
ALLOC_FAST_PATH void RelaxedStore(T& variable, T value) {
  __atomic_store_n(&variable, value, __ATOMIC_RELAXED);
}

// Moves a pointer into an array by `Steps` elements. This thread alone writes it, and has read
// `value` from it. On x86-64 one instruction that adds to memory, which compilers rarely make of a
// load, an addition and a store.
template <ptrdiff_t Steps, typename T>
ALLOC_FAST_PATH void RelaxedAdvance(T*& pointer, T* value) {
#if defined(__x86_64__)
  static_cast<void>(value);
  asm("addq %1, %0" : "+m"(pointer) : "i"(Steps * ptrdiff_t{sizeof(T)}) : "cc");
#else
  RelaxedStore(pointer, value + Steps);
#endif
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_UTIL_RELAXED_H_

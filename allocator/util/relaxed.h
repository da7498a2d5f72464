// SPDX-License-Identifier: Apache-2.0
//
// Relaxed loads and stores of plain variables that one thread writes and others may look at. On
// every supported machine they are ordinary moves.
#ifndef SPANMALLOC_ALLOCATOR_UTIL_RELAXED_H_
#define SPANMALLOC_ALLOCATOR_UTIL_RELAXED_H_

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

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_UTIL_RELAXED_H_

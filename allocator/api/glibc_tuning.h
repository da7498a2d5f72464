// SPDX-License-Identifier: Apache-2.0
//
// What mallopt's parameters mean for this heap. Man page mallopt(3), docs/glibc.md. For
// glibc_api.cc and gperftools_api.cc; thread-safe.
#ifndef SPANMALLOC_ALLOCATOR_API_GLIBC_TUNING_H_
#define SPANMALLOC_ALLOCATOR_API_GLIBC_TUNING_H_

namespace spanmalloc {

// 1: done, or there is nothing of the kind to tune here. 0: glibc refuses it, or it can't be done.
int SetMalloptParameter(int parameter, int value);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_GLIBC_TUNING_H_

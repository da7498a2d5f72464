// SPDX-License-Identifier: Apache-2.0
//
// The library's memory limits and statistics, for programs that need them: by mallctl, found at run
// time, so that a program is skipped under an allocator that has none.
#ifndef SPANMALLOC_TESTS_OVERRIDE_LIMITS_H_
#define SPANMALLOC_TESTS_OVERRIDE_LIMITS_H_

#include <dlfcn.h>

#include "tests/override/check.h"

namespace check {

using Mallctl = int (*)(const char*, void*, size_t*, void*, size_t);

inline Mallctl FindMallctl() {
  auto mallctl = reinterpret_cast<Mallctl>(dlsym(RTLD_DEFAULT, "mallctl"));
  size_t value = 0;
  size_t length = sizeof(value);
  if (mallctl == nullptr || mallctl("spanmalloc.limit.hard", &value, &length, nullptr, 0) != 0) {
    SKIP("the allocator has no memory limits");
  }
  return mallctl;
}

inline void SetLimit(const char* name, size_t bytes) {
  CHECK(FindMallctl()(name, nullptr, nullptr, &bytes, sizeof(bytes)) == 0, "cannot set %s", name);
}

// A statistic as of now.
inline size_t Statistic(const char* name) {
  const Mallctl mallctl = FindMallctl();
  uint64_t epoch = 1;
  size_t value = 0;
  size_t length = sizeof(value);
  mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch));
  CHECK(mallctl(name, &value, &length, nullptr, 0) == 0, "cannot read %s", name);
  return value;
}

// Blocks linked through their first words, from the last one taken.

inline void FreeAll(void* last) {
  while (last != nullptr) {
    void* next = *static_cast<void**>(last);
    free(last);
    last = next;
  }
}

// Frees nine of ten blocks of `size` bytes and returns the others, which lie together in pieces of
// 64 KiB.
inline void* FreeNineOfTen(void* last, size_t size) {
  void* kept = nullptr;
  for (size_t i = 1; last != nullptr; ++i) {
    void* next = *static_cast<void**>(last);
    if (i * size / 65536 % 10 == 0) {
      *static_cast<void**>(last) = kept;
      kept = last;
    } else {
      free(last);
    }
    last = next;
  }
  return kept;
}

}  // namespace check

#endif  // SPANMALLOC_TESTS_OVERRIDE_LIMITS_H_

// SPDX-License-Identifier: Apache-2.0
//
// Numbers of the library under test, for programs that know it by its C names only.

#ifndef SPANMALLOC_TESTS_OVERRIDE_STATISTICS_H_
#define SPANMALLOC_TESTS_OVERRIDE_STATISTICS_H_

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/override/check.h"

namespace statistics {

using Mallctl = int (*)(const char*, void*, size_t*, void*, size_t);

// The function of that name; the program is skipped if the library has none.
template <typename Function>
Function Find(const char* name) {
  void* function = dlsym(RTLD_DEFAULT, name);
  if (function == nullptr) SKIP("the library has no %s", name);
  return reinterpret_cast<Function>(function);
}

// A number, as it is now; the program is skipped if the library doesn't know it.
inline uint64_t Read(const char* name) {
  static const Mallctl mallctl = Find<Mallctl>("mallctl");
  uint64_t epoch = 1;
  size_t length = sizeof(epoch);
  mallctl("epoch", &epoch, &length, &epoch, length);
  uint64_t number = 0;
  length = sizeof(number);
  if (mallctl(name, &number, &length, nullptr, 0) != 0) SKIP("the library has no %s", name);
  return number;
}

}  // namespace statistics

#endif  // SPANMALLOC_TESTS_OVERRIDE_STATISTICS_H_

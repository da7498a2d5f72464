// SPDX-License-Identifier: Apache-2.0
//
// The functions of regions, as the preloaded library has them, for wrong programs.

#ifndef SPANMALLOC_TESTS_MISUSE_REGIONS_H_
#define SPANMALLOC_TESTS_MISUSE_REGIONS_H_

#include <dlfcn.h>
#include <spanmalloc/spanmalloc.h>

#include "tests/misuse/misuse.h"

namespace misuse {

struct Regions {
  template <typename Function>
  static Function* Find(const char* name) {
    void* function = dlsym(RTLD_DEFAULT, name);
    if (function == nullptr) _exit(77);
    return reinterpret_cast<Function*>(function);
  }

  decltype(&spanmalloc_region_create) create =
      Find<decltype(spanmalloc_region_create)>("spanmalloc_region_create");
  decltype(&spanmalloc_region_destroy) destroy =
      Find<decltype(spanmalloc_region_destroy)>("spanmalloc_region_destroy");
  decltype(&spanmalloc_region_allocate_slow) allocate =
      Find<decltype(spanmalloc_region_allocate_slow)>("spanmalloc_region_allocate_slow");
  decltype(&spanmalloc_region_get_mark) get_mark =
      Find<decltype(spanmalloc_region_get_mark)>("spanmalloc_region_get_mark");
  decltype(&spanmalloc_region_rewind) rewind =
      Find<decltype(spanmalloc_region_rewind)>("spanmalloc_region_rewind");
  decltype(&spanmalloc_region_reset) reset =
      Find<decltype(spanmalloc_region_reset)>("spanmalloc_region_reset");
};

}  // namespace misuse

#endif  // SPANMALLOC_TESTS_MISUSE_REGIONS_H_

// SPDX-License-Identifier: Apache-2.0
//
// Compiled once for each prefix (tools/bazel/prefixed_build.bzl): SPANMALLOC_PREFIX is that of the
// symbols, SPANMALLOC_UPPER_PREFIX that of the environment variables.
#include "allocator/api/build_names.h"

#ifndef SPANMALLOC_PREFIX
#define SPANMALLOC_PREFIX ""
#define SPANMALLOC_UPPER_PREFIX ""
#endif

namespace spanmalloc {

OptionSources NamesOfSources() {
  return {
      .trim_threshold = SPANMALLOC_UPPER_PREFIX "MALLOC_TRIM_THRESHOLD_",
      .perturb = SPANMALLOC_UPPER_PREFIX "MALLOC_PERTURB_",
      .symbol = SPANMALLOC_PREFIX "malloc_conf",
      .link = "/etc/" SPANMALLOC_PREFIX "malloc.conf",
      .variable = SPANMALLOC_UPPER_PREFIX "MALLOC_CONF",
      .last_symbol = SPANMALLOC_PREFIX "malloc_conf_2_conf_harder",
      .own_variable = SPANMALLOC_UPPER_PREFIX "SPANMALLOC_CONF",
  };
}

}  // namespace spanmalloc

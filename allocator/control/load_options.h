// SPDX-License-Identifier: Apache-2.0
//
// Where the options come from, weakest first: glibc's environment variables MALLOC_TRIM_THRESHOLD_
// and MALLOC_PERTURB_, the program's `malloc_conf`, then the environment variables MALLOC_CONF and
// SPANMALLOC_CONF. Called once, when the allocator initialises itself:
// usable before the C library is, allocates nothing.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_LOAD_OPTIONS_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_LOAD_OPTIONS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/params/options.h"

namespace spanmalloc {

// `malloc_conf`: the value of that symbol, or nullptr. Faults go to stderr, one line each; with
// abort_conf:true they end the process.
void LoadOptions(const char* malloc_conf, Options* options);

// What glibc's trim threshold means here: how much free memory is kept at most, but never less than
// 4 MiB; a negative one, that none goes back.
void ApplyTrimThreshold(int64_t threshold, int64_t* dirty_decay_ms, size_t* dirty_limit);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_LOAD_OPTIONS_H_

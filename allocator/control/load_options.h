// SPDX-License-Identifier: Apache-2.0
//
// Where the options come from. Called once, when the allocator initialises itself: usable before
// the C library is, allocates nothing.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_LOAD_OPTIONS_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_LOAD_OPTIONS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/params/options.h"

namespace spanmalloc {

// The sources, weakest first, by the names that faults are reported with.
struct OptionSources {
  const char* trim_threshold;  // glibc's environment variables
  const char* perturb;
  const char* symbol;        // a variable of the program's
  const char* link;          // a symbolic link: its target is the text
  const char* variable;      // an environment variable
  const char* last_symbol;   // a variable of the program's that goes before the environment's
  const char* own_variable;  // an environment variable that jemalloc doesn't read
};

// `symbol_value`, `last_symbol_value`: the values of the program's variables, or nullptr. Faults go
// to stderr, one line each; with abort_conf:true they end the process.
void LoadOptions(const OptionSources& sources, const char* symbol_value,
                 const char* last_symbol_value, Options* options);

// What glibc's trim threshold means here: how much free memory is kept at most, but never less than
// 4 MiB; a negative one, that none goes back.
void ApplyTrimThreshold(int64_t threshold, int64_t* dirty_decay_ms, size_t* dirty_limit);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_LOAD_OPTIONS_H_

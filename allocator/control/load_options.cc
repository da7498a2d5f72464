// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/load_options.h"

#include "allocator/os/process.h"
#include "allocator/os/raw_output.h"
#include "allocator/util/text_parts.h"

namespace spanmalloc {
namespace {

void LoadFrom(const char* text, const char* source, Options* options) {
  if (text == nullptr) return;
  if (!ParseOptions(text, source, options, os::WriteToStderr) && options->abort_conf) {
    os::DieWith("spanmalloc: aborting, since abort_conf is true\n");
  }
}

// The number that a variable of glibc's starts with; false if it is absent or empty.
bool ReadVariable(const char* name, int64_t* number) {
  const char* text = os::Environment(name);
  if (text == nullptr || *text == '\0') return false;
  const bool negative = *text == '-';
  const auto value = static_cast<int64_t>(LeadingNumber(negative ? text + 1 : text));
  *number = negative ? -value : value;
  return true;
}

// The variables of glibc's that mean something here.
void LoadFromGlibc(Options* options) {
  int64_t number = 0;
  if (ReadVariable("MALLOC_TRIM_THRESHOLD_", &number)) {
    ApplyTrimThreshold(number, &options->dirty_decay_ms, &options->dirty_limit);
  }
  if (ReadVariable("MALLOC_PERTURB_", &number)) {
    options->perturb = static_cast<uint8_t>(number);
  }
}

}  // namespace

void ApplyTrimThreshold(int64_t threshold, int64_t* dirty_decay_ms, size_t* dirty_limit) {
  constexpr int64_t kLeast = int64_t{4} << 20;
  if (threshold < 0) {
    *dirty_decay_ms = -1;
    *dirty_limit = 0;
  } else {
    *dirty_limit = static_cast<size_t>(threshold > kLeast ? threshold : kLeast);
  }
}

void LoadOptions(const char* malloc_conf, Options* options) {
  LoadFromGlibc(options);
  LoadFrom(malloc_conf, "malloc_conf", options);
  LoadFrom(os::Environment("MALLOC_CONF"), "MALLOC_CONF", options);
  LoadFrom(os::Environment("SPANMALLOC_CONF"), "SPANMALLOC_CONF", options);
}

}  // namespace spanmalloc

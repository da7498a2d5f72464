// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/load_options.h"

#include <cstddef>

#include "allocator/os/process.h"
#include "allocator/os/raw_output.h"
#include "allocator/util/attributes.h"
#include "allocator/util/text_parts.h"

namespace spanmalloc {
namespace {

// Longer ones are ignored. (It is on the stack of whatever thread allocates first.)
constexpr size_t kMaxLinkTarget = 1024;

ALLOC_SLOW_PATH void ParseFrom(const char* text, const char* source, Options* options) {
  if (!ParseOptions(text, source, options, os::WriteToStderr) && options->abort_conf) {
    os::DieWith("spanmalloc: aborting, since abort_conf is true\n");
  }
}

void LoadFrom(const char* text, const char* source, Options* options) {
  if (text != nullptr) ParseFrom(text, source, options);
}

// The number that a text starts with.
ALLOC_SLOW_PATH int64_t SignedNumber(const char* text) {
  const bool negative = *text == '-';
  const size_t value = LeadingNumber(negative ? text + 1 : text);
  return static_cast<int64_t>(negative ? -value : value);
}

// That of a variable of glibc's; false if it is absent or empty.
bool ReadVariable(const char* name, int64_t* number) {
  const char* text = os::Environment(name);
  if (text == nullptr || *text == '\0') return false;
  *number = SignedNumber(text);
  return true;
}

// The variables of glibc's that mean something here.
void LoadFromGlibc(const OptionSources& sources, Options* options) {
  int64_t number = 0;
  if (ReadVariable(sources.trim_threshold, &number)) {
    ApplyTrimThreshold(number, &options->dirty_decay_ms, &options->dirty_limit);
  }
  if (ReadVariable(sources.perturb, &number)) {
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

void LoadOptions(const OptionSources& sources, const char* symbol_value,
                 const char* last_symbol_value, Options* options) {
  char target[kMaxLinkTarget];
  LoadFromGlibc(sources, options);
  LoadFrom(symbol_value, sources.symbol, options);
  if (os::LinkTarget(sources.link, target, sizeof(target))) LoadFrom(target, sources.link, options);
  LoadFrom(os::Environment(sources.variable), sources.variable, options);
  LoadFrom(last_symbol_value, sources.last_symbol, options);
  LoadFrom(os::Environment(sources.own_variable), sources.own_variable, options);
}

}  // namespace spanmalloc

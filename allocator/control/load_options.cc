// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/load_options.h"

#include <cstddef>

#include "allocator/os/process.h"
#include "allocator/os/raw_output.h"

namespace spanmalloc {
namespace {

// Longer ones are ignored. (It is on the stack of whatever thread allocates first.)
constexpr size_t kMaxLinkTarget = 1024;

void LoadFrom(const char* text, const char* source, Options* options) {
  if (text == nullptr) return;
  if (!ParseOptions(text, source, options, os::WriteToStderr) && options->abort_conf) {
    os::DieWith("spanmalloc: aborting, since abort_conf is true\n");
  }
}

}  // namespace

void LoadOptions(const OptionSources& sources, const char* symbol_value,
                 const char* last_symbol_value, Options* options) {
  char target[kMaxLinkTarget];
  LoadFrom(symbol_value, sources.symbol, options);
  if (os::LinkTarget(sources.link, target, sizeof(target))) LoadFrom(target, sources.link, options);
  LoadFrom(os::Environment(sources.variable), sources.variable, options);
  LoadFrom(last_symbol_value, sources.last_symbol, options);
  LoadFrom(os::Environment(sources.own_variable), sources.own_variable, options);
}

}  // namespace spanmalloc

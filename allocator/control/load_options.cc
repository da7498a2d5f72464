// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/load_options.h"

#include "allocator/os/process.h"
#include "allocator/os/raw_output.h"

namespace spanmalloc {
namespace {

void LoadFrom(const char* text, const char* source, Options* options) {
  if (text == nullptr) return;
  if (!ParseOptions(text, source, options, os::WriteToStderr) && options->abort_conf) {
    os::DieWith("spanmalloc: aborting, since abort_conf is true\n");
  }
}

}  // namespace

void LoadOptions(const char* malloc_conf, Options* options) {
  LoadFrom(malloc_conf, "malloc_conf", options);
  LoadFrom(os::Environment("MALLOC_CONF"), "MALLOC_CONF", options);
  LoadFrom(os::Environment("SPANMALLOC_CONF"), "SPANMALLOC_CONF", options);
}

}  // namespace spanmalloc

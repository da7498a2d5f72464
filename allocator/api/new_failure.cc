// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/new_failure.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

#include "allocator/api/control_instance.h"
#include "allocator/os/raw_output.h"
#include "allocator/telemetry/corruption_report.h"
#include "allocator/util/text_buffer.h"

// The C++ runtime's functions, by their ABI names: std::get_new_handler() and
// std::__throw_bad_alloc(). Weak, so that they may be missing; so is dlsym, in a static program.
extern "C" {
using NewHandler = void (*)();
__attribute__((weak)) NewHandler _ZSt15get_new_handlerv();
__attribute__((weak)) void _ZSt17__throw_bad_allocv();
__attribute__((weak)) void* dlsym(void* handle, const char* name) noexcept;
}

namespace spanmalloc {
namespace {

// `linked` if the program was linked with the C++ runtime, else what a library loaded later
// brought along, else nullptr.
template <typename Function>
Function* FromCxxRuntime(Function* linked, const char* name) {
  if (linked != nullptr) return linked;
  return &dlsym == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

NewHandler CurrentNewHandler() {
  auto* get = FromCxxRuntime(&_ZSt15get_new_handlerv, "_ZSt15get_new_handlerv");
  return get == nullptr ? nullptr : get();
}

}  // namespace

bool CallNewHandler() {
  const NewHandler handler = CurrentNewHandler();
  if (handler == nullptr) return false;
  handler();
  return true;
}

void* NewNothrowThroughCxxRuntime(const char* name, size_t size, size_t alignment) {
  if (CurrentNewHandler() == nullptr || &dlsym == nullptr) return nullptr;
  void* symbol = dlsym(RTLD_NEXT, name);
  if (symbol == nullptr) return nullptr;
  const char nothrow = 0;
  if (alignment == 0) {
    return reinterpret_cast<void* (*)(size_t, const void*)>(symbol)(size, &nothrow);
  }
  return reinterpret_cast<void* (*)(size_t, size_t, const void*)>(symbol)(size, alignment,
                                                                          &nothrow);
}

bool NewIsInfallible() { return options.experimental_infallible_new; }

// Hooks know the line by its beginning, which is jemalloc's.
void ReportFailedNew(size_t size) {
  char storage[128] = {};
  TextBuffer line(storage, sizeof(storage) - 1);
  line << "<jemalloc>: Allocation of size " << uint64_t{size}
       << " failed in operator new (spanmalloc, experimental_infallible_new)\n";
  if (!CallAbortHook(storage)) os::DieWith(line.text());
}

void ThrowBadAlloc() {
  auto* throw_bad_alloc = FromCxxRuntime(&_ZSt17__throw_bad_allocv, "_ZSt17__throw_bad_allocv");
  if (throw_bad_alloc != nullptr) throw_bad_alloc();
  os::DieWith("spanmalloc: operator new: out of memory, and no C++ runtime to throw bad_alloc\n");
}

}  // namespace spanmalloc

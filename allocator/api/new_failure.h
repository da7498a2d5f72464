// SPDX-License-Identifier: Apache-2.0
//
// What operator new does when memory can't be had: the new_handler and std::bad_alloc live in the
// C++ runtime, which the program may or may not have. The library doesn't depend on it, so that
// preloading into C programs loads nothing more; it finds the runtime when it needs it, and only a
// C++ program ever does.
#ifndef SPANMALLOC_ALLOCATOR_API_NEW_FAILURE_H_
#define SPANMALLOC_ALLOCATOR_API_NEW_FAILURE_H_

#include <atomic>
#include <cstddef>

namespace spanmalloc {

// Calls the program's new_handler. False if there is none. The handler may throw.
bool CallNewHandler();

// Whether malloc and its kin call the new_handler, too: gperftools' tc_set_new_mode. Any number but
// 0: they do.
inline constinit std::atomic<int> new_mode{0};
inline bool MallocCallsNewHandler() { return new_mode.load(std::memory_order_relaxed) != 0; }

// A nothrow operator new after memory couldn't be had. Where there is a new_handler, which may
// throw, the C++ runtime's own nothrow form `name` is called: it calls our throwing form and
// catches what that throws. `alignment` 0: the form without one. nullptr in the end.
void* NewNothrowThroughCxxRuntime(const char* name, size_t size, size_t alignment);

// Whether operator new ends the process instead of throwing: the option
// experimental_infallible_new.
bool NewIsInfallible();

// Says that operator new failed and ends the process; or calls the hook for that, if there is one
// (mallctl's experimental.hooks.safety_check_abort), and returns.
void ReportFailedNew(size_t size);

// Throws std::bad_alloc.
[[noreturn]] void ThrowBadAlloc();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_NEW_FAILURE_H_

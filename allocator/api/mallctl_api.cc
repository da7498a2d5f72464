// SPDX-License-Identifier: Apache-2.0
//
// jemalloc's interface to read and set what the allocator has to say about itself. Names, types
// and rules: control/names.def and control/mallctl.h. All are thread-safe; from a signal handler
// that interrupted the allocator they return EAGAIN.
#include <stddef.h>

#include "allocator/api/control_instance.h"
#include "allocator/api/exported.h"
#include "allocator/api/stats_dumps.h"
#include "allocator/control/mallctl.h"
#include "allocator/control/stats_print.h"

extern "C" {

// jemalloc. Where messages go that have no callback of their own; NULL: to stderr.
SPANMALLOC_EXPORT void (*malloc_message)(void* opaque, const char* text) = nullptr;

// jemalloc. Returns an errno number.
SPANMALLOC_EXPORT int mallctl(const char* name, void* oldp, size_t* oldlenp, void* newp,
                              size_t newlen) noexcept {
  return spanmalloc::MallctlByName(spanmalloc::control(), name, oldp, oldlenp, newp, newlen);
}

// jemalloc. Returns an errno number.
SPANMALLOC_EXPORT int mallctlnametomib(const char* name, size_t* mibp, size_t* miblenp) noexcept {
  return spanmalloc::MallctlNameToMib(spanmalloc::control(), name, mibp, miblenp);
}

// jemalloc. Returns an errno number.
SPANMALLOC_EXPORT int mallctlbymib(const size_t* mib, size_t miblen, void* oldp, size_t* oldlenp,
                                   void* newp, size_t newlen) noexcept {
  return spanmalloc::MallctlByMib(spanmalloc::control(), mib, miblen, oldp, oldlenp, newp, newlen);
}

// jemalloc. The statistics as text, as JSON if `letters` has a J, for Prometheus if it has an O, in
// NUL-terminated pieces.
SPANMALLOC_EXPORT void malloc_stats_print(void (*write)(void* opaque, const char* text),
                                          void* opaque, const char* letters) {
  const spanmalloc::StatsCallback callback =
      write != nullptr ? write : spanmalloc::DefaultStatsCallback();
  spanmalloc::PrintStats(spanmalloc::control(), callback, opaque, letters);
}

}  // extern "C"

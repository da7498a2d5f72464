// SPDX-License-Identifier: Apache-2.0
//
// spanmalloc's own public functions. Contracts: spanmalloc.h.
#include <spanmalloc/spanmalloc.h>

#include "allocator/api/exported.h"
#include "allocator/api/purge.h"

extern "C" {

SPANMALLOC_EXPORT const char* spanmalloc_version() noexcept { return "0.1.0"; }

SPANMALLOC_EXPORT size_t spanmalloc_release_free_memory() noexcept {
  return spanmalloc::PurgeAll();
}

SPANMALLOC_EXPORT void spanmalloc_flush_thread_cache() noexcept { spanmalloc::FlushThreadCache(); }

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
//
// glibc's own extensions, answered for this heap: without them a preloaded program would ask
// glibc's allocator about a heap that it doesn't use. All are thread-safe. Man pages mallinfo(3),
// malloc_trim(3), malloc_stats(3), malloc_info(3), mallopt(3); docs/glibc.md.
#include <errno.h>
#include <malloc.h>
#include <stdio.h>

#include "allocator/api/exported.h"
#include "allocator/api/glibc_statistics.h"
#include "allocator/api/glibc_tuning.h"
#include "allocator/api/purge.h"

extern "C" {

// GNU. Gives free memory back to the kernel; `pad` bytes at the top, which this heap doesn't have,
// are ignored. 1 if anything that was resident was given back, else 0.
SPANMALLOC_EXPORT int malloc_trim(size_t) noexcept { return spanmalloc::PurgeAll() != 0; }

// GNU. The numbers of this heap, in bytes.
SPANMALLOC_EXPORT struct mallinfo2 mallinfo2() noexcept { return spanmalloc::HeapInfo(); }

// GNU. As mallinfo2; what doesn't fit an int is INT_MAX.
SPANMALLOC_EXPORT struct mallinfo mallinfo() noexcept { return spanmalloc::HeapInfoInInts(); }

// GNU. A summary on stderr.
SPANMALLOC_EXPORT void malloc_stats() noexcept { spanmalloc::PrintHeapInfo(); }

// GNU. The numbers as XML. EINVAL, which glibc returns as it is, unless `options` is 0; and errno,
// which its manual says is set.
SPANMALLOC_EXPORT int malloc_info(int options, FILE* stream) noexcept {
  if (options != 0) return errno = EINVAL;
  spanmalloc::PrintHeapXml(stream);
  return 0;
}

// GNU. 1 for a parameter that exists and a value that it takes, else 0. What each does here:
// glibc_tuning.h.
SPANMALLOC_EXPORT int mallopt(int parameter, int value) noexcept {
  return spanmalloc::SetMalloptParameter(parameter, value);
}

}  // extern "C"

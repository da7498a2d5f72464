// SPDX-License-Identifier: Apache-2.0
//
// The C family: what C, POSIX, GNU and C23 programs call. Each entry point is its contract's
// special cases (c_contracts.h) and a call; the paths are in fast_path.h, slow_path.h and
// reallocate.cc. All are thread-safe, and none changes errno unless it fails.
//
// They stand in one file so that a static link which finds one finds all, and never pulls the
// C library's own allocator in beside them.
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "absl/numeric/bits.h"
#include "allocator/api/c_contracts.h"
#include "allocator/api/exported.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/slow_path.h"
#include "allocator/params/memory_geometry.h"

extern "C" {

// C23 7.24.3.7. `size` bytes aligned to 16; for size 0 a block of its own all the same.
SPANMALLOC_ENTRY void* malloc(size_t size) noexcept {
  return spanmalloc::Allocate<&spanmalloc::AllocateSlow>(size);
}

// C23 7.24.3.3. NULL is allowed.
SPANMALLOC_ENTRY void free(void* block) noexcept { spanmalloc::Deallocate(block); }

// C23 7.24.3.4. `size` must be what was asked for.
SPANMALLOC_ENTRY void free_sized(void* block, size_t size) noexcept {
  spanmalloc::DeallocateSized(block, size);
}

// C23 7.24.3.5. `alignment` and `size` must be what was asked for.
SPANMALLOC_ENTRY void free_aligned_sized(void* block, size_t alignment, size_t size) noexcept {
  if (alignment <= spanmalloc::kMinAlignment) return spanmalloc::DeallocateSized(block, size);
  spanmalloc::FreeAlignedSized(block, alignment, size);
}

// C23 7.24.3.2. ENOMEM if count * size overflows.
SPANMALLOC_ENTRY void* calloc(size_t count, size_t size) noexcept {
  return spanmalloc::AllocateZeroedArray(count, size);
}

// C23 7.24.3.8, with glibc's answer to size 0: the block is freed and NULL returned.
SPANMALLOC_ENTRY void* realloc(void* block, size_t size) noexcept {
  return spanmalloc::ReallocateOrFree(block, size);
}

// POSIX.1-2024. As realloc; ENOMEM if count * size overflows.
SPANMALLOC_EXPORT void* reallocarray(void* block, size_t count, size_t size) noexcept {
  size_t bytes;
  if (spanmalloc::MultiplyOverflows(count, size, &bytes)) return spanmalloc::FailWith(ENOMEM);
  return spanmalloc::ReallocateOrFree(block, bytes);
}

// C23 7.24.3.1. EINVAL unless `alignment` is a power of two.
SPANMALLOC_ENTRY void* aligned_alloc(size_t alignment, size_t size) noexcept {
  if (!absl::has_single_bit(alignment)) return spanmalloc::FailWith(EINVAL);
  return spanmalloc::AllocateAligned(alignment, size);
}

// POSIX.1-2024. Returns the error, and leaves errno and, if it fails, `*result` alone.
SPANMALLOC_EXPORT int posix_memalign(void** result, size_t alignment, size_t size) noexcept {
  return spanmalloc::PosixAligned(result, alignment, size);
}

// GNU. Alignments that are no power of two are rounded up to one.
SPANMALLOC_EXPORT void* memalign(size_t alignment, size_t size) noexcept {
  return spanmalloc::AlignedOrRoundUp(alignment, size);
}

// GNU. Aligned to the system's page.
SPANMALLOC_EXPORT void* valloc(size_t size) noexcept { return spanmalloc::PageAligned(size); }

// GNU. Whole system pages.
SPANMALLOC_EXPORT void* pvalloc(size_t size) noexcept { return spanmalloc::WholePages(size); }

// SunOS, glibc before 2.26.
SPANMALLOC_EXPORT void cfree(void* block) noexcept { spanmalloc::Deallocate(block); }

// GNU. The bytes that may be written at `block`; 0 for NULL.
SPANMALLOC_EXPORT size_t malloc_usable_size(void* block) noexcept {
  return spanmalloc::UsableSize(block);
}

// The names under which glibc's own objects and old programs know the same functions.
SPANMALLOC_EXPORT void* __libc_malloc(size_t) noexcept __attribute__((alias("malloc")));
SPANMALLOC_EXPORT void __libc_free(void*) noexcept __attribute__((alias("free")));
SPANMALLOC_EXPORT void __libc_cfree(void*) noexcept __attribute__((alias("cfree")));
SPANMALLOC_EXPORT void* __libc_calloc(size_t, size_t) noexcept __attribute__((alias("calloc")));
SPANMALLOC_EXPORT void* __libc_realloc(void*, size_t) noexcept __attribute__((alias("realloc")));
SPANMALLOC_EXPORT void* __libc_reallocarray(void*, size_t, size_t) noexcept
    __attribute__((alias("reallocarray")));
SPANMALLOC_EXPORT void* __libc_memalign(size_t, size_t) noexcept __attribute__((alias("memalign")));
SPANMALLOC_EXPORT void* __libc_valloc(size_t) noexcept __attribute__((alias("valloc")));
SPANMALLOC_EXPORT void* __libc_pvalloc(size_t) noexcept __attribute__((alias("pvalloc")));
SPANMALLOC_EXPORT int __posix_memalign(void**, size_t, size_t) noexcept
    __attribute__((alias("posix_memalign")));

}  // extern "C"

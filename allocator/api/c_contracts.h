// SPDX-License-Identifier: Apache-2.0
//
// The special cases in the contracts of the C family, for the files that give it its names:
// malloc.cc (C, POSIX, GNU), gperftools_api.cc and jemalloc_api.cc.
#ifndef SPANMALLOC_ALLOCATOR_API_C_CONTRACTS_H_
#define SPANMALLOC_ALLOCATOR_API_C_CONTRACTS_H_

#include <errno.h>

#include <cstddef>
#include <cstdint>

#include "absl/numeric/bits.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/slow_path.h"
#include "allocator/api/zero_realloc.h"
#include "allocator/os/process.h"
#include "allocator/params/memory_geometry.h"

namespace spanmalloc {

inline void* FailWith(int error) {
  errno = error;
  return nullptr;
}

// Whether a * b overflows; the product in `*product` if it doesn't.
inline bool MultiplyOverflows(size_t a, size_t b, size_t* product) {
  return __builtin_mul_overflow(a, b, product);
}

// calloc: ENOMEM if count * size overflows.
inline void* AllocateZeroedArray(size_t count, size_t size) {
  size_t bytes;
  if (MultiplyOverflows(count, size, &bytes)) return FailWith(ENOMEM);
  return AllocateZeroed(bytes);
}

// realloc: NULL allocates; size 0 frees and returns NULL, as glibc's does, unless an option says
// otherwise.
inline void* ReallocateOrFree(void* block, size_t size) {
  if (block == nullptr) return Allocate<&AllocateSlow>(size);
  if (size == 0) return ReallocateToZero(block);
  return Reallocate(block, size);
}

// memalign: an alignment that is no power of two is rounded up to one, as glibc's does.
inline void* AlignedOrRoundUp(size_t alignment, size_t size) {
  if (alignment > SIZE_MAX / 2 + 1) return FailWith(EINVAL);
  return AllocateAligned(absl::bit_ceil(alignment), size);
}

// posix_memalign.
inline int PosixAligned(void** result, size_t alignment, size_t size) {
  if (!absl::has_single_bit(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  const int saved = errno;
  void* block = AllocateAligned(alignment, size);
  errno = saved;
  if (block == nullptr) return ENOMEM;
  *result = block;
  return 0;
}

// valloc.
inline void* PageAligned(size_t size) { return AllocateAligned(os::SystemPageSize(), size); }

// pvalloc.
inline void* WholePages(size_t size) {
  const size_t page = os::SystemPageSize();
  if (size > kMaxRequest - page) return FailWith(ENOMEM);
  return AllocateAligned(page, RoundUp(size, page));
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_C_CONTRACTS_H_

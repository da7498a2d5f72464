// SPDX-License-Identifier: Apache-2.0
//
// The names under which gperftools exports the C family and operator new: programs that were linked
// with its library ask for them. Each is the function whose name follows the prefix, with the same
// contract (malloc.cc, operator_new.cc). All are thread-safe.
//
// tc_version isn't among them: programs ask for it to find out whether they run on gperftools'
// allocator, and print what it says.
#include <errno.h>
#include <stddef.h>

#include <new>

#include "allocator/api/c_contracts.h"
#include "allocator/api/exported.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/new_failure.h"
#include "allocator/api/slow_path.h"

namespace spanmalloc {
namespace {

void* NewNothrow(size_t size) {
  void* block = Allocate<&AllocateSlow>(size);
  if (ABSL_PREDICT_TRUE(block != nullptr)) return block;
  return NewNothrowThroughCxxRuntime("_ZnwmRKSt9nothrow_t", size, 0);
}

void* NewAlignedNothrow(size_t size, size_t alignment) {
  void* block = AllocateAligned(alignment, size);
  if (ABSL_PREDICT_TRUE(block != nullptr)) return block;
  return NewNothrowThroughCxxRuntime("_ZnwmSt11align_val_tRKSt9nothrow_t", size, alignment);
}

void FreeSizedAligned(void* block, size_t size, size_t alignment) {
  if (alignment <= kMinAlignment) return DeallocateSized(block, size);
  FreeAlignedSized(block, alignment, size);
}

size_t AsSize(std::align_val_t alignment) { return static_cast<size_t>(alignment); }

}  // namespace
}  // namespace spanmalloc

using spanmalloc::AsSize;
using spanmalloc::Deallocate;
using spanmalloc::DeallocateSized;
using std::align_val_t;
using std::nothrow_t;

extern "C" {

// ---- the C family ----

SPANMALLOC_EXPORT void* tc_malloc(size_t size) noexcept {
  return spanmalloc::Allocate<&spanmalloc::AllocateSlow>(size);
}
// malloc never calls the new_handler here, so this one is malloc.
SPANMALLOC_EXPORT void* tc_malloc_skip_new_handler(size_t size) noexcept {
  return spanmalloc::Allocate<&spanmalloc::AllocateSlow>(size);
}
SPANMALLOC_EXPORT void tc_free(void* block) noexcept { Deallocate(block); }
SPANMALLOC_EXPORT void tc_cfree(void* block) noexcept { Deallocate(block); }
SPANMALLOC_EXPORT void tc_free_sized(void* block, size_t size) noexcept {
  DeallocateSized(block, size);
}
SPANMALLOC_EXPORT void* tc_calloc(size_t count, size_t size) noexcept {
  return spanmalloc::AllocateZeroedArray(count, size);
}
SPANMALLOC_EXPORT void* tc_realloc(void* block, size_t size) noexcept {
  return spanmalloc::ReallocateOrFree(block, size);
}
SPANMALLOC_EXPORT void* tc_memalign(size_t alignment, size_t size) noexcept {
  return spanmalloc::AlignedOrRoundUp(alignment, size);
}
SPANMALLOC_EXPORT int tc_posix_memalign(void** result, size_t alignment, size_t size) noexcept {
  return spanmalloc::PosixAligned(result, alignment, size);
}
SPANMALLOC_EXPORT void* tc_valloc(size_t size) noexcept { return spanmalloc::PageAligned(size); }
SPANMALLOC_EXPORT void* tc_pvalloc(size_t size) noexcept { return spanmalloc::WholePages(size); }
// malloc_usable_size.
SPANMALLOC_EXPORT size_t tc_malloc_size(void* block) noexcept {
  return spanmalloc::UsableSize(block);
}

// ---- operator new and delete ----

SPANMALLOC_EXPORT void* tc_new(size_t size) {
  return spanmalloc::Allocate<&spanmalloc::AllocateSlowOrThrow>(size);
}
SPANMALLOC_EXPORT void* tc_newarray(size_t size) {
  return spanmalloc::Allocate<&spanmalloc::AllocateSlowOrThrow>(size);
}
SPANMALLOC_EXPORT void* tc_new_nothrow(size_t size, const nothrow_t&) noexcept {
  return spanmalloc::NewNothrow(size);
}
SPANMALLOC_EXPORT void* tc_newarray_nothrow(size_t size, const nothrow_t&) noexcept {
  return spanmalloc::NewNothrow(size);
}
SPANMALLOC_EXPORT void* tc_new_aligned(size_t size, align_val_t alignment) {
  return spanmalloc::AllocateAligned<&spanmalloc::AllocateAlignedSlowOrThrow>(AsSize(alignment),
                                                                              size);
}
SPANMALLOC_EXPORT void* tc_newarray_aligned(size_t size, align_val_t alignment) {
  return spanmalloc::AllocateAligned<&spanmalloc::AllocateAlignedSlowOrThrow>(AsSize(alignment),
                                                                              size);
}
SPANMALLOC_EXPORT void* tc_new_aligned_nothrow(size_t size, align_val_t alignment,
                                               const nothrow_t&) noexcept {
  return spanmalloc::NewAlignedNothrow(size, AsSize(alignment));
}
SPANMALLOC_EXPORT void* tc_newarray_aligned_nothrow(size_t size, align_val_t alignment,
                                                    const nothrow_t&) noexcept {
  return spanmalloc::NewAlignedNothrow(size, AsSize(alignment));
}

SPANMALLOC_EXPORT void tc_delete(void* block) noexcept { Deallocate(block); }
SPANMALLOC_EXPORT void tc_deletearray(void* block) noexcept { Deallocate(block); }
SPANMALLOC_EXPORT void tc_delete_nothrow(void* block, const nothrow_t&) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void tc_deletearray_nothrow(void* block, const nothrow_t&) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void tc_delete_sized(void* block, size_t size) noexcept {
  DeallocateSized(block, size);
}
SPANMALLOC_EXPORT void tc_deletearray_sized(void* block, size_t size) noexcept {
  DeallocateSized(block, size);
}
SPANMALLOC_EXPORT void tc_delete_aligned(void* block, align_val_t) noexcept { Deallocate(block); }
SPANMALLOC_EXPORT void tc_deletearray_aligned(void* block, align_val_t) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void tc_delete_aligned_nothrow(void* block, align_val_t,
                                                 const nothrow_t&) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void tc_deletearray_aligned_nothrow(void* block, align_val_t,
                                                      const nothrow_t&) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void tc_delete_sized_aligned(void* block, size_t size,
                                               align_val_t alignment) noexcept {
  spanmalloc::FreeSizedAligned(block, size, AsSize(alignment));
}
SPANMALLOC_EXPORT void tc_deletearray_sized_aligned(void* block, size_t size,
                                                    align_val_t alignment) noexcept {
  spanmalloc::FreeSizedAligned(block, size, AsSize(alignment));
}

}  // extern "C"

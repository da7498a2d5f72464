// SPDX-License-Identifier: Apache-2.0
//
// The names under which gperftools exports the C family and operator new: programs that were linked
// with its library ask for them. Each is the function whose name follows the prefix, with the same
// contract (malloc.cc, operator_new.cc, glibc_api.cc). All are thread-safe.
//
// Programs ask for tc_version to find out whether they run on gperftools' allocator, and print what
// it says: libspanmalloc.so doesn't export it (tools/bazel/spanmalloc.map); a library that stands
// in for gperftools' does.
#include <errno.h>
#include <malloc.h>
#include <spanmalloc/spanmalloc.h>
#include <stddef.h>

#include <new>

#include "allocator/api/c_contracts.h"
#include "allocator/api/exported.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/glibc_statistics.h"
#include "allocator/api/glibc_tuning.h"
#include "allocator/api/gperftools_summary.h"
#include "allocator/api/new_failure.h"
#include "allocator/api/slow_path.h"
#include "allocator/os/raw_output.h"
#include "allocator/util/text_buffer.h"

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

// As AllocateSlow in any mode of tc_set_new_mode.
void* AllocateWithoutHandler(size_t size) {
  bool zeroed;
  return AllocateInArena(thread_locals.arena, kMinAlignment, size, &zeroed);
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
// Calls no new_handler in any mode.
SPANMALLOC_EXPORT void* tc_malloc_skip_new_handler(size_t size) noexcept {
  return spanmalloc::Allocate<&spanmalloc::AllocateWithoutHandler>(size);
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
SPANMALLOC_EXPORT size_t malloc_size(void* block) noexcept { return spanmalloc::UsableSize(block); }

SPANMALLOC_EXPORT void tc_free_aligned_sized(void* block, size_t alignment, size_t size) noexcept {
  if (block != nullptr) spanmalloc::FreeSizedAligned(block, size, alignment);
}
SPANMALLOC_EXPORT size_t tc_nallocx(size_t size, int flags) noexcept {
  return nallocx(size, flags);
}

// ---- glibc's ----

SPANMALLOC_EXPORT struct mallinfo tc_mallinfo() noexcept { return spanmalloc::HeapInfoInInts(); }
SPANMALLOC_EXPORT struct mallinfo2 tc_mallinfo2() noexcept { return spanmalloc::HeapInfo(); }
SPANMALLOC_EXPORT int tc_mallopt(int parameter, int value) noexcept {
  return spanmalloc::SetMalloptParameter(parameter, value);
}
// gperftools' summary, on stderr.
SPANMALLOC_EXPORT void tc_malloc_stats() noexcept {
  char storage[2048];
  spanmalloc::TextBuffer text(storage, sizeof(storage));
  spanmalloc::WriteGperftoolsSummary(&text);
  spanmalloc::os::WriteToStderr(text.text());
}

// ---- gperftools' own ----

// The version of gperftools that the interface follows, and ours. Any of the pointers may be NULL.
SPANMALLOC_EXPORT const char* tc_version(int* major, int* minor, const char** patch) noexcept {
  if (major != nullptr) *major = 2;
  if (minor != nullptr) *minor = 10;
  if (patch != nullptr) *patch = "-spanmalloc-0.1";
  return "gperftools 2.10-spanmalloc-0.1";
}
// Whether malloc calls the new_handler until it helps, as operator new does. Returns what was set
// before. The handler had better not throw: what it throws leaves malloc.
SPANMALLOC_EXPORT int tc_set_new_mode(int mode) noexcept {
  return spanmalloc::new_mode.exchange(mode, std::memory_order_relaxed);
}
SPANMALLOC_EXPORT int tc_query_new_mode() noexcept {
  return spanmalloc::new_mode.load(std::memory_order_relaxed);
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

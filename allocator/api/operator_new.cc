// SPDX-License-Identifier: Apache-2.0
//
// Every replaceable form of operator new and delete (C++20 [new.delete]), and the functions by
// which google/tcmalloc's users get a block and the size they may use of it (P0901). Throwing forms
// call the new_handler until it helps; nothrow forms return nullptr in the end; sized forms take
// the size class from the size and never look the pointer up.
#include <cstddef>
#include <cstdint>
#include <new>

#include "allocator/api/exported.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/new_failure.h"
#include "allocator/api/slow_path.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_map.h"

namespace spanmalloc {
namespace {

ALLOC_FAST_PATH void* New(size_t size) { return Allocate<&AllocateSlowOrThrow>(size); }

void* NewNothrow(size_t size, const char* symbol) {
  void* block = Allocate<&AllocateSlow>(size);
  if (ABSL_PREDICT_TRUE(block != nullptr)) return block;
  return NewNothrowThroughCxxRuntime(symbol, size, 0);
}

void* NewAligned(size_t size, std::align_val_t alignment) {
  return AllocateAligned<&AllocateAlignedSlowOrThrow>(static_cast<size_t>(alignment), size);
}

void* NewAlignedNothrow(size_t size, std::align_val_t alignment, const char* symbol) {
  void* block = AllocateAligned(static_cast<size_t>(alignment), size);
  if (ABSL_PREDICT_TRUE(block != nullptr)) return block;
  return NewNothrowThroughCxxRuntime(symbol, size, static_cast<size_t>(alignment));
}

// An aligned block has the class of its size only if the alignment is malloc's own.
void DeleteAlignedSized(void* block, size_t size, std::align_val_t alignment) {
  if (static_cast<size_t>(alignment) <= kMinAlignment) return DeallocateSized(block, size);
  FreeAlignedSized(block, static_cast<size_t>(alignment), size);
}

}  // namespace
}  // namespace spanmalloc

using spanmalloc::Deallocate;
using spanmalloc::DeallocateSized;

SPANMALLOC_ENTRY void* operator new(size_t size) { return spanmalloc::New(size); }
SPANMALLOC_ENTRY void* operator new[](size_t size) { return spanmalloc::New(size); }

SPANMALLOC_EXPORT void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return spanmalloc::NewNothrow(size, "_ZnwmRKSt9nothrow_t");
}
SPANMALLOC_EXPORT void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return spanmalloc::NewNothrow(size, "_ZnamRKSt9nothrow_t");
}
SPANMALLOC_EXPORT void* operator new(size_t size, std::align_val_t alignment) {
  return spanmalloc::NewAligned(size, alignment);
}
SPANMALLOC_EXPORT void* operator new[](size_t size, std::align_val_t alignment) {
  return spanmalloc::NewAligned(size, alignment);
}
SPANMALLOC_EXPORT void* operator new(size_t size, std::align_val_t alignment,
                                     const std::nothrow_t&) noexcept {
  return spanmalloc::NewAlignedNothrow(size, alignment, "_ZnwmSt11align_val_tRKSt9nothrow_t");
}
SPANMALLOC_EXPORT void* operator new[](size_t size, std::align_val_t alignment,
                                       const std::nothrow_t&) noexcept {
  return spanmalloc::NewAlignedNothrow(size, alignment, "_ZnamSt11align_val_tRKSt9nothrow_t");
}

SPANMALLOC_ENTRY void operator delete(void* block) noexcept { Deallocate(block); }
SPANMALLOC_ENTRY void operator delete[](void* block) noexcept { Deallocate(block); }
SPANMALLOC_ENTRY void operator delete(void* block, size_t size) noexcept {
  DeallocateSized(block, size);
}
SPANMALLOC_ENTRY void operator delete[](void* block, size_t size) noexcept {
  DeallocateSized(block, size);
}
SPANMALLOC_EXPORT void operator delete(void* block, const std::nothrow_t&) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void operator delete[](void* block, const std::nothrow_t&) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void operator delete(void* block, std::align_val_t) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void operator delete[](void* block, std::align_val_t) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void operator delete(void* block, std::align_val_t,
                                       const std::nothrow_t&) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void operator delete[](void* block, std::align_val_t,
                                         const std::nothrow_t&) noexcept {
  Deallocate(block);
}
SPANMALLOC_EXPORT void operator delete(void* block, size_t size,
                                       std::align_val_t alignment) noexcept {
  spanmalloc::DeleteAlignedSized(block, size, alignment);
}
SPANMALLOC_EXPORT void operator delete[](void* block, size_t size,
                                         std::align_val_t alignment) noexcept {
  spanmalloc::DeleteAlignedSized(block, size, alignment);
}

extern "C" {

// A block of operator new's, and how many of its bytes may be used: sized delete takes that size as
// well as the one that was asked for.
struct SpanmallocSizedBlock {
  void* block;
  size_t size;
};

SPANMALLOC_EXPORT SpanmallocSizedBlock __size_returning_new(size_t size) {
  return {spanmalloc::New(size), spanmalloc::UsableSizeFor(size, spanmalloc::kMinAlignment)};
}
SPANMALLOC_EXPORT SpanmallocSizedBlock __size_returning_new_aligned(size_t size,
                                                                    std::align_val_t alignment) {
  return {spanmalloc::NewAligned(size, alignment),
          spanmalloc::UsableSizeFor(size, static_cast<size_t>(alignment))};
}
// How often the block will be used doesn't matter here.
SPANMALLOC_EXPORT SpanmallocSizedBlock __size_returning_new_hot_cold(size_t size, uint8_t) {
  return __size_returning_new(size);
}
SPANMALLOC_EXPORT SpanmallocSizedBlock
__size_returning_new_aligned_hot_cold(size_t size, std::align_val_t alignment, uint8_t) {
  return __size_returning_new_aligned(size, alignment);
}

}  // extern "C"

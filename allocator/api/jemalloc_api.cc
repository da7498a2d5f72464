// SPDX-License-Identifier: Apache-2.0
//
// jemalloc's extended allocation functions over this heap: malloc, realloc and free with the
// alignment, zeroing and sizes that the caller knows. Contracts: jemalloc(3), and the comments of
// spanmalloc.h; what that leaves undefined (a NULL block, size 0) does what malloc's family does.
//
// mallocx, rallocx, dallocx and sdallocx use the cache that is named, mallocx and rallocx the
// arena; elsewhere both are ignored.
#include <errno.h>
#include <spanmalloc/spanmalloc.h>
#include <string.h>

#include "allocator/api/c_contracts.h"
#include "allocator/api/exported.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/mallocx_flags.h"
#include "allocator/api/named_place.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_map.h"

namespace spanmalloc {
namespace {

// A block whose usable bytes are all zero, so that a later rallocx may count on them.
void* AllocateZeroedAligned(size_t alignment, size_t size) {
  const size_t usable = UsableSizeFor(size, alignment);
  if (usable == 0) return FailWith(ENOMEM);
  // Below a page, the size itself brings the alignment: objects of aligned classes have multiples
  // of it as their size, and large blocks start on pages.
  if (alignment < kPageSize) return AllocateZeroed(usable);
  void* block = AllocateAligned(alignment, size);
  if (block != nullptr && !IsZeroedLarge(block)) memset(block, 0, usable);
  return block;
}

// Neither a cache nor an arena is named.
ALLOC_FAST_PATH void* AllocateUsual(MallocxFlags wish, size_t size) {
  if (wish.zero()) return AllocateZeroedAligned(wish.alignment(), size);
  if (wish.alignment() > kMinAlignment) return AllocateAligned(wish.alignment(), size);
  return Allocate<&AllocateSlow>(size);
}

ABSL_ATTRIBUTE_NOINLINE void* AllocateNamed(MallocxFlags wish, size_t size) {
  if (!wish.zero()) {
    if (void* block = TakeCached(wish, size)) return block;
  }
  const NamedPlace place = PlaceOf(wish);
  return place.usual() ? AllocateUsual(wish, size)
                       : AllocateAt(place, wish.alignment(), size, wish.zero());
}

ALLOC_FAST_PATH void* AllocateBy(int flags, size_t size) {
  const MallocxFlags wish(flags);
  if (ABSL_PREDICT_FALSE(wish.names_place())) return AllocateNamed(wish, size);
  return AllocateUsual(wish, size);
}

// What smallocx returns, as <jemalloc/jemalloc.h> has it.
struct SizedBlock {
  void* ptr;
  size_t size;
};

// Frees a block by way of the cache that is named.
void FreeByCache(MallocxFlags wish, void* block) {
  if (!PutCached(wish, block)) FreeAt(PlaceOf(wish), block);
}

// Makes a block hold `size` bytes where it is, and as much of `extra` as it can get by asking for
// half as much each time. A large block doesn't shrink to what belongs in a size class. Returns its
// usable bytes afterwards.
size_t ResizeWithin(void* block, size_t alignment, size_t old_usable, size_t size, size_t extra) {
  const size_t most = size < kMaxRequest ? kMaxRequest - size : 0;
  if (extra > most) extra = most;
  if (size + extra < old_usable && AlignedSizeClassOf(size + extra, alignment) != kNoSizeClass) {
    return old_usable;
  }
  size_t usable = TryResizeInPlace(block, size + extra);
  while (usable < size + extra && extra != 0 && size + extra / 2 > old_usable) {
    extra /= 2;
    usable = TryResizeInPlace(block, size + extra);
  }
  return usable;
}

}  // namespace
}  // namespace spanmalloc

extern "C" {

SPANMALLOC_EXPORT void* mallocx(size_t size, int flags) noexcept {
  return spanmalloc::AllocateBy(flags, size);
}

SPANMALLOC_EXPORT spanmalloc::SizedBlock smallocx_spanmalloc(size_t size, int flags) noexcept {
  void* block = spanmalloc::AllocateBy(flags, size);
  if (block == nullptr) return {nullptr, 0};
  return {block, spanmalloc::UsableSizeFor(size, spanmalloc::MallocxFlags(flags).alignment())};
}

SPANMALLOC_EXPORT void* rallocx(void* block, size_t size, int flags) noexcept {
  const spanmalloc::MallocxFlags wish(flags);
  const size_t alignment = wish.alignment();
  const size_t old_usable = wish.zero() ? spanmalloc::UsableSize(block) : 0;
  void* result;
  if (ABSL_PREDICT_FALSE(wish.names_place())) {
    result = spanmalloc::ReallocateAt(spanmalloc::PlaceOf(wish), block, alignment, size);
  } else {
    result = spanmalloc::ReallocateExactly(block, alignment, size);
  }
  if (!wish.zero() || result == nullptr) return result;
  // Behind what was copied or moved to it, a fresh large block is zero still.
  if (result != block && spanmalloc::IsZeroedLarge(result)) return result;
  const size_t usable = spanmalloc::UsableSize(result);
  if (usable > old_usable) memset(static_cast<char*>(result) + old_usable, 0, usable - old_usable);
  return result;
}

SPANMALLOC_EXPORT size_t xallocx(void* block, size_t size, size_t extra, int flags) noexcept {
  const size_t old_usable = spanmalloc::UsableSize(block);
  const spanmalloc::MallocxFlags wish(flags);
  if (!spanmalloc::IsMultiple(reinterpret_cast<uintptr_t>(block), wish.alignment())) {
    return old_usable;
  }
  const size_t usable = spanmalloc::ResizeWithin(block, wish.alignment(), old_usable, size, extra);
  if (wish.zero() && usable > old_usable) {
    memset(static_cast<char*>(block) + old_usable, 0, usable - old_usable);
  }
  return usable;
}

SPANMALLOC_EXPORT size_t sallocx(const void* block, int) noexcept {
  return spanmalloc::UsableSize(block);
}

SPANMALLOC_EXPORT void dallocx(void* block, int flags) noexcept {
  const spanmalloc::MallocxFlags wish(flags);
  if (ABSL_PREDICT_FALSE(wish.names_cache())) return spanmalloc::FreeByCache(wish, block);
  spanmalloc::Deallocate(block);
}

SPANMALLOC_EXPORT void sdallocx(void* block, size_t size, int flags) noexcept {
  const spanmalloc::MallocxFlags wish(flags);
  const size_t alignment = wish.alignment();
  if (ABSL_PREDICT_FALSE(wish.names_cache())) {
    if (spanmalloc::CheckSize(block, alignment, size)) spanmalloc::FreeByCache(wish, block);
    return;
  }
  if (alignment > spanmalloc::kMinAlignment) {
    return spanmalloc::FreeAlignedSized(block, alignment, size);
  }
  // The size says nothing about a block of an explicit arena: its page shows no class.
  if (spanmalloc::runtime.page_map.ClassOf(block) == spanmalloc::kNoSizeClass) {
    return spanmalloc::FreeSizedSlow(block, size);
  }
  spanmalloc::DeallocateSized(block, size);
}

SPANMALLOC_EXPORT size_t nallocx(size_t size, int flags) noexcept {
  return spanmalloc::UsableSizeFor(size, spanmalloc::MallocxFlags(flags).alignment());
}

}  // extern "C"

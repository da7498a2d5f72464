// SPDX-License-Identifier: Apache-2.0
//
// jemalloc's extended allocation functions over this heap: malloc, realloc and free with the
// alignment, zeroing and sizes that the caller knows. Contracts: jemalloc(3), and the comments of
// spanmalloc.h; what that leaves undefined (a NULL block, size 0) does what malloc's family does.
//
// Of the flags, the alignment and MALLOCX_ZERO are obeyed; mallocx obeys the arena too, the others
// leave a block in the arena it is in. The index of a cache is accepted: each thread has just one.
#include <errno.h>
#include <spanmalloc/spanmalloc.h>
#include <string.h>

#include "allocator/api/c_contracts.h"
#include "allocator/api/exported.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_map.h"

namespace spanmalloc {
namespace {

constexpr int kLgAlignmentMask = 0x3f;

constexpr int kArenaShift = 20;

size_t AlignmentOf(int flags) { return size_t{1} << (flags & kLgAlignmentMask); }

// The explicit arena that `flags` name; 0, the heap of all threads, if they name none that exists.
unsigned ArenaFor(int flags) {
  const unsigned index_plus_one = static_cast<unsigned>(flags) >> kArenaShift;
  if (ABSL_PREDICT_TRUE(index_plus_one <= 1)) return 0;
  return runtime.arenas.Exists(index_plus_one - 1) ? index_plus_one - 1 : 0;
}

// The usable size of a block that AllocateAligned(alignment, size) would return; 0 if none can.
size_t UsableSizeFor(size_t size, size_t alignment) {
  const size_t c = AlignedSizeClassOf(size, alignment);
  if (c != kNoSizeClass) return kSizeClassTable[c].size;
  if (size > kWindowSize || alignment > kWindowSize) return 0;
  return RoundUp(size == 0 ? 1 : size, kPageSize);
}

// Whether `block` is a large one of pages that were zero when it was made.
bool WasZeroed(const void* block) {
  const Span* span = runtime.page_map.SpanOf(block);
  return span != nullptr && span->size_class == kNoSizeClass && span->zeroed;
}

// A block whose usable bytes are all zero, so that a later rallocx may count on them.
void* AllocateZeroedAligned(size_t alignment, size_t size) {
  const size_t usable = UsableSizeFor(size, alignment);
  if (usable == 0) return FailWith(ENOMEM);
  // Below a page, the size itself brings the alignment: objects of aligned classes have multiples
  // of it as their size, and large blocks start on pages.
  if (alignment < kPageSize) return AllocateZeroed(usable);
  void* block = AllocateAligned(alignment, size);
  if (block != nullptr && !WasZeroed(block)) memset(block, 0, usable);
  return block;
}

void* AllocateInArenaFor(unsigned arena, size_t alignment, size_t size, bool zero) {
  bool zeroed = false;
  void* block = AllocateInArena(arena, alignment, size, &zeroed);
  if (block != nullptr && zero && !zeroed) memset(block, 0, UsableSize(block));
  return block;
}

// Makes a block hold `size` bytes where it is, and as much of `extra` as it can get by asking for
// half as much each time. Returns its usable bytes afterwards.
size_t ResizeWithin(void* block, size_t old_usable, size_t size, size_t extra) {
  const size_t most = size < kMaxRequest ? kMaxRequest - size : 0;
  if (extra > most) extra = most;
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
  const size_t alignment = spanmalloc::AlignmentOf(flags);
  const bool zero = (flags & MALLOCX_ZERO) != 0;
  const unsigned arena = spanmalloc::ArenaFor(flags);
  if (arena != 0) return spanmalloc::AllocateInArenaFor(arena, alignment, size, zero);
  if (zero) return spanmalloc::AllocateZeroedAligned(alignment, size);
  if (alignment > spanmalloc::kMinAlignment) return spanmalloc::AllocateAligned(alignment, size);
  return spanmalloc::Allocate<&spanmalloc::AllocateSlow>(size);
}

SPANMALLOC_EXPORT void* rallocx(void* block, size_t size, int flags) noexcept {
  const size_t alignment = spanmalloc::AlignmentOf(flags);
  const bool zero = (flags & MALLOCX_ZERO) != 0;
  const size_t old_usable = zero ? spanmalloc::UsableSize(block) : 0;
  void* result = alignment > spanmalloc::kMinAlignment
                     ? spanmalloc::ReallocateAligned(block, alignment, size)
                     : spanmalloc::Reallocate(block, size);
  if (!zero || result == nullptr) return result;
  // Behind what was copied or moved to it, a fresh large block is zero still.
  if (result != block && spanmalloc::WasZeroed(result)) return result;
  const size_t usable = spanmalloc::UsableSize(result);
  if (usable > old_usable) memset(static_cast<char*>(result) + old_usable, 0, usable - old_usable);
  return result;
}

SPANMALLOC_EXPORT size_t xallocx(void* block, size_t size, size_t extra, int flags) noexcept {
  const size_t old_usable = spanmalloc::UsableSize(block);
  if (reinterpret_cast<uintptr_t>(block) % spanmalloc::AlignmentOf(flags) != 0) return old_usable;
  const size_t usable = spanmalloc::ResizeWithin(block, old_usable, size, extra);
  if ((flags & MALLOCX_ZERO) != 0 && usable > old_usable) {
    memset(static_cast<char*>(block) + old_usable, 0, usable - old_usable);
  }
  return usable;
}

SPANMALLOC_EXPORT size_t sallocx(const void* block, int) noexcept {
  return spanmalloc::UsableSize(block);
}

SPANMALLOC_EXPORT void dallocx(void* block, int) noexcept { spanmalloc::Deallocate(block); }

SPANMALLOC_EXPORT void sdallocx(void* block, size_t size, int flags) noexcept {
  const size_t alignment = spanmalloc::AlignmentOf(flags);
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
  return spanmalloc::UsableSizeFor(size, spanmalloc::AlignmentOf(flags));
}

}  // extern "C"

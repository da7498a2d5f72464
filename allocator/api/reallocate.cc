// SPDX-License-Identifier: Apache-2.0
//
// realloc. A block stays where it is if its size class, or its span with what follows it, can hold
// the new size; else it moves: pages by mremap where there are many, bytes by copying where there
// are few. Called by the entry points.
//
// A block of at most kMaxTableSize bytes always has exactly the class of its size, because sized
// free trusts the size.
#include <string.h>

#include "allocator/api/fast_path.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_map.h"

namespace spanmalloc {
namespace {

// From this size on pages may be moved rather than copied: always from the upper size on, below it
// where the target isn't resident, so that copying would fault every page of it in. (Moving pages
// onto resident ones gives those up, only for the next block to fault them in again.)
constexpr size_t kMinRemapSize = 128 * 1024;
constexpr size_t kAlwaysRemapSize = 32 * 1024 * 1024;

// A block that realloc has grown past this size becomes a span of its own, which can go on growing
// into the pages behind it.
constexpr size_t kMinGrowableSize = 16 * 1024;

void* MoveByCopy(void* block, size_t old_size, void* target, size_t size) {
  memcpy(target, block, old_size < size ? old_size : size);
  Deallocate(block);
  return target;
}

// Moves the pages of a block that has its span to itself to the start of another. False, and
// nothing changed, if copying is to be preferred or is all that can be done.
bool MovePages(const void* block, size_t size, const void* target) {
  SlowPathScope scope;
  Span* from = runtime.page_map.SpanOf(block);
  Span* to = runtime.page_map.SpanOf(target);
  return !scope.nested() && from != nullptr && from->objects <= 1 && to != nullptr &&
         (to->zeroed || size >= kAlwaysRemapSize) && runtime.page_heap.MoveLarge(from, to);
}

// Moves a block to a large span of its own.
void* MoveToLarge(void* block, size_t old_size, size_t size) {
  void* target = AllocateLargeBlock(size);
  if (target == nullptr) return nullptr;
  if (old_size >= kMinRemapSize) {
    if (MovePages(block, old_size, target)) {
      FreeMovedBlock(block);
      return target;
    }
    runtime.page_heap.NoteCopiedLarge();
  }
  return MoveByCopy(block, old_size, target, size);
}

// A block that isn't a large span, to one of `size` bytes.
void* Move(void* block, size_t old_size, size_t size) {
  if (size > old_size && size > kMinGrowableSize) return MoveToLarge(block, old_size, size);
  void* target = Allocate<&AllocateSlow>(size);
  return target == nullptr ? nullptr : MoveByCopy(block, old_size, target, size);
}

// Makes a large span hold `size` bytes where it is. False, and nothing changed, if it can't, or if
// so small a block belongs in a size class.
bool ResizeInPlace(Span* span, size_t size) {
  if (size <= kMinGrowableSize) return false;
  const size_t pages = PagesFor(size);
  SlowPathScope scope;
  if (pages > span->pages) return !scope.nested() && runtime.page_heap.GrowLarge(span, pages);
  // Returning a short tail isn't worth the work, and the block may grow again.
  if (span->pages - pages >= kMinReturnedPages && !scope.nested()) {
    runtime.page_heap.ShrinkLarge(span, pages);
  }
  return true;
}

void* ResizeLarge(void* block, Span* span, size_t size) {
  if (ResizeInPlace(span, size)) return block;
  const size_t old_size = span->bytes();
  return size <= kMinGrowableSize ? Move(block, old_size, size)
                                  : MoveToLarge(block, old_size, size);
}

// A block of an explicit arena stays in it.
void* ResizeInArena(void* block, size_t old_size, size_t size) {
  if (size <= old_size && size >= old_size / 2) return block;
  bool zeroed;
  void* target = AllocateInArena(ArenaOf(block), kMinAlignment, size, &zeroed);
  return target == nullptr ? nullptr : MoveByCopy(block, old_size, target, size);
}

}  // namespace

void* Reallocate(void* block, size_t size) {
  const SizeClass c = runtime.page_map.ClassOf(block);
  if (ABSL_PREDICT_TRUE(c != kNoSizeClass)) {
    const size_t old_size = kSizeClassTable[c].size;
    if (MayKeepClass(c, size) || (size <= old_size && SizeClassOf(size) == c)) return block;
    return Move(block, old_size, size);
  }
  const size_t old_size = UsableSize(block);  // reports a pointer that isn't a block
  if (size > kMaxRequest) return AllocateSlow(size);
  Span* span = runtime.page_map.SpanOf(block);
  if (span == nullptr) return Move(block, old_size, size);
  if (ArenaSet::Owns(span)) return ResizeInArena(block, old_size, size);
  return ResizeLarge(block, span, size);
}

void* ReallocateAligned(void* block, size_t alignment, size_t size) {
  const SizeClass c = runtime.page_map.ClassOf(block);
  if (reinterpret_cast<uintptr_t>(block) % alignment == 0) {
    if (c != kNoSizeClass) {
      if (MayKeepClass(c, size) || AlignedSizeClassOf(size, alignment) == c) return block;
    } else if (size > kMinGrowableSize) {
      const size_t usable = TryResizeInPlace(block, size);
      if (usable >= size && usable / 2 <= size) return block;
    }
  }
  const size_t old_size = UsableSize(block);
  const unsigned arena = ArenaOf(block);
  bool zeroed;
  void* target = arena == 0 ? AllocateAligned(alignment, size)
                            : AllocateInArena(arena, alignment, size, &zeroed);
  return target == nullptr ? nullptr : MoveByCopy(block, old_size, target, size);
}

size_t TryResizeInPlace(void* block, size_t size) {
  const size_t old_size = UsableSize(block);  // 0 for a pointer that isn't a block
  if (old_size == 0 || size > kMaxRequest) return old_size;
  Span* span = runtime.page_map.SpanOf(block);
  const bool large = span != nullptr && span->size_class == kNoSizeClass;
  return large && ResizeInPlace(span, size) ? span->bytes() : old_size;
}

}  // namespace spanmalloc

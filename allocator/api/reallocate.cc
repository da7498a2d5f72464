// SPDX-License-Identifier: Apache-2.0
//
// realloc. A block stays where it is if its size class, or its span with what follows it, can hold
// the new size; else it moves: pages by mremap where there are many, bytes by copying where there
// are few. Called by the entry points.
//
// rallocx and xallocx do the same, but leave a block neither in a larger class than its size's nor
// with more pages: its usable size is the one that a new block has.
//
// A block of at most kMaxTableSize bytes always has exactly the class of its size, because sized
// free trusts the size.
#include <string.h>

#include "allocator/api/counted_calls.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/named_place.h"
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
// into the pages behind it, and which a smaller one of at most half its size leaves again.
constexpr size_t kMinGrowableSize = 16 * 1024;

// The same for one that grows by large steps. Up to this size, another block from the thread's
// cache and a copy cost less than placing a span, and there are few such steps.
constexpr size_t kMinGrowableByLargeSteps = 32 * 1024;

// A buffer that is being filled, by one realloc after the other with large steps, becomes one at
// this size and after so many moves. (Arrays that add an eighth, as interpreters' do, are left in
// their classes, which waste less.)
constexpr size_t kMinFilledSize = 4 * 1024;
constexpr uint32_t kMovesOfFilled = 4;

// At least a fifth is added.
bool IsLargeStep(size_t old_size, size_t size) { return size - old_size >= old_size / 5; }

void* MoveByCopy(void* block, size_t old_size, void* target, size_t size) {
  const size_t kept = old_size < size ? old_size : size;
  if (old_size >= kMinRemapSize) runtime.page_heap.NoteCopiedLarge(kept);
  memcpy(target, block, kept);
  Deallocate(block);
  return target;
}

// Moves the pages of a block that has its span to itself to the start of another. False, and
// nothing changed, if copying is to be preferred or is all that can be done.
bool MovePages(const void* block, size_t size, const void* target) {
  SlowPathScope scope;
  Span* from = runtime.page_map.SpanOf(block);
  Span* to = runtime.page_map.SpanOf(target);
  return !scope.nested() && from != nullptr && from->objects() <= 1 && to != nullptr &&
         (to->zeroed || size >= kAlwaysRemapSize) && runtime.page_heap.MoveLarge(from, to);
}

// Notes that `block` has grown to a size that makes it move. Returns whether it is a buffer that is
// being filled.
bool NoteGrowth(ThreadState* state, const void* block, size_t old_size, size_t size) {
  if (state == nullptr) return false;
  GrowingBlock& growing = state->growing;
  if (growing.block != block) {
    if (growing.reserves) {
      SlowPathScope scope;
      if (!scope.nested()) runtime.EndGrowth(state);
    }
    growing.moves = 0;
  }
  growing.moves = IsLargeStep(old_size, size) ? growing.moves + 1 : 0;
  return growing.moves >= kMovesOfFilled;
}

// Moves a block to `target`, which has its span to itself if that is longer.
void* MoveTo(void* target, void* block, size_t old_size, size_t size) {
  if (target == nullptr) return nullptr;
  if (old_size >= kMinRemapSize && size > old_size && MovePages(block, old_size, target)) {
    FreeMovedBlock(block, old_size);
    return target;
  }
  return MoveByCopy(block, old_size, target, size);
}

// The size above which a block that grows becomes a span of its own.
size_t MinLargeSize(size_t old_size, size_t size, bool filled) {
  if (filled) return kMinFilledSize;
  return IsLargeStep(old_size, size) ? kMinGrowableByLargeSteps : kMinGrowableSize;
}

// Moves a block that has to grow; to a large span of its own where it isn't small, and to one with
// room to grow if it is being filled. Any slow path on the way may take the thread's cache from it.
void* MoveToGrow(void* block, size_t old_size, size_t size) {
  const bool filled = NoteGrowth(thread_locals.state, block, old_size, size);
  const bool large = size > MinLargeSize(old_size, size, filled);
  void* target = !large   ? Allocate<&AllocateSlow>(size)
                 : filled ? AllocateGrowingBlock(size)
                          : AllocateLargeBlock(size);
  if (target == nullptr) return nullptr;
  if (ThreadState* state = thread_locals.state) {
    state->growing.block = target;
    state->growing.reserves = filled && large;
  }
  return large ? MoveTo(target, block, old_size, size) : MoveByCopy(block, old_size, target, size);
}

// A block that isn't a large span, to one of `size` bytes.
void* Move(void* block, size_t old_size, size_t size) {
  if (size > old_size) return MoveToGrow(block, old_size, size);
  void* target = Allocate<&AllocateSlow>(size);
  return target == nullptr ? nullptr : MoveByCopy(block, old_size, target, size);
}

// In memory of a program's hooks, which leaves by whole huge pages, a part of one isn't worth it.
bool MayShrink(const Span* span) {
  return span->huge_pages != 0 ||
         !runtime.page_heap.IsForeign(reinterpret_cast<const void*>(span->start));
}

// Makes a large span hold `size` bytes where it is. False, and nothing changed, if it can't. Where
// it shrinks by fewer pages than `least_returned`, it stays as it is: returning a short tail isn't
// worth the work, and the block may grow again.
bool ResizeSpan(Span* span, size_t size, size_t least_returned) {
  const size_t pages = PagesFor(size);
  ThreadState* state = thread_locals.state;
  if (pages > span->pages) {
    if (span->GrowIntoReserve(pages, state)) return true;
    SlowPathScope scope;
    const bool filled =
        state != nullptr && reinterpret_cast<uintptr_t>(state->growing.block) == span->start;
    if (scope.nested()) return false;
    if (filled) state->growing.reserves = true;
    const auto grow = [&] {
      return runtime.page_heap.GrowLarge(span, pages, filled ? state : nullptr);
    };
    return grow() || (runtime.page_heap.ProvideBehind(span, pages) && grow());
  }
  if (span->pages - pages >= least_returned && MayShrink(span)) {
    SlowPathScope scope;
    if (!scope.nested()) runtime.page_heap.ShrinkLarge(span, pages);
  }
  return true;
}

// As ResizeSpan for realloc, which moves a block into a size class only where it is small.
bool ResizeInPlace(Span* span, size_t size) {
  if (size <= kMinFilledSize) return false;
  if (size <= kMinGrowableSize && size < span->bytes() / 2) return false;
  return ResizeSpan(span, size, kMinReturnedPages);
}

// A block that stays where it is counts as another, as it does when it moves.
ALLOC_FAST_PATH void* Stay(void* block, size_t old_size, size_t size) {
  if (ABSL_PREDICT_FALSE(MayCount())) CountResized(block, old_size, size);
  return block;
}

void* ResizeLarge(void* block, Span* span, size_t size) {
  const size_t old_size = span->bytes();
  return ResizeInPlace(span, size) ? Stay(block, old_size, span->bytes())
                                   : Move(block, old_size, size);
}

// A block of an explicit arena stays in it.
void* ResizeInArena(void* block, Span* span, size_t old_size, size_t size) {
  if (span->size_class == kNoSizeClass) {
    if (ResizeInPlace(span, size)) return Stay(block, old_size, span->bytes());
  } else if (size <= old_size && size >= old_size / 2) {
    return Stay(block, old_size, old_size);
  }
  bool zeroed;
  void* target = AllocateInArena(ArenaOf(block), kMinAlignment, size, &zeroed);
  return MoveTo(target, block, old_size, size);
}

// Whether a block is, where it is, as a new one of `size` bytes at `alignment` would be; it is
// resized there if it can be.
bool FitsInPlace(void* block, size_t alignment, size_t size) {
  if (!IsMultiple(reinterpret_cast<uintptr_t>(block), alignment)) return false;
  const size_t wanted = AlignedSizeClassOf(size, alignment);
  const SizeClass own = SmallBlockOf(block).size_class;
  if (own != wanted) return false;
  if (own != kNoSizeClass) {
    Stay(block, kSizeClassTable[own].size, kSizeClassTable[own].size);
    return true;
  }
  const size_t old_size = MayCount() ? UsableSize(block) : 0;
  const size_t usable = TryResizeInPlace(block, size);
  // In memory of hooks a block may keep up to twice its size.
  const bool fits = usable >= size && usable / 2 <= size;
  // One that was resized is counted already.
  if (fits && usable == old_size) Stay(block, old_size, usable);
  return fits;
}

}  // namespace

void* Reallocate(void* block, size_t size) {
  const SizeClass c = runtime.page_map.ClassOf(block);
  if (ABSL_PREDICT_TRUE(c != kNoSizeClass)) {
    const size_t old_size = kSizeClassTable[c].size;
    if (MayKeepClass(c, size) || (size <= old_size && SizeClassOf(size) == c)) {
      return Stay(block, old_size, old_size);
    }
    return Move(block, old_size, size);
  }
  if (size > kMaxRequest) return AllocateSlow(size);
  Span* span = runtime.page_map.SpanAt(block);
  if (span != nullptr && !ArenaSet::Owns(span)) return ResizeLarge(block, span, size);
  const size_t old_size = UsableSize(block);  // reports a pointer that isn't a block
  span = runtime.page_map.SpanOf(block);
  const bool in_arena = span != nullptr && ArenaSet::Owns(span);
  return in_arena ? ResizeInArena(block, span, old_size, size) : Move(block, old_size, size);
}

void* ReallocateExactly(void* block, size_t alignment, size_t size) {
  if (FitsInPlace(block, alignment, size)) return block;
  const size_t old_size = UsableSize(block);
  const unsigned arena = ArenaOf(block);
  if (arena == 0 && size > kMaxClassSize && size <= kMaxRequest && alignment <= kPageSize) {
    return Move(block, old_size, size);
  }
  bool zeroed;
  void* target = arena == 0 ? AllocateAligned(alignment, size)
                            : AllocateInArena(arena, alignment, size, &zeroed);
  return MoveTo(target, block, old_size, UsableSize(target));
}

void* ReallocateAt(const NamedPlace& place, void* block, size_t alignment, size_t size) {
  if (FitsInPlace(block, alignment, size)) return block;
  const size_t old_size = UsableSize(block);
  NamedPlace target_place = place;
  const unsigned arena = ArenaOf(block);
  if (!place.names_arena && arena != 0) target_place.arena = arena;
  void* target = target_place.usual() ? AllocateAligned(alignment, size)
                                      : AllocateAt(target_place, alignment, size, /*zero=*/false);
  const size_t usable = UsableSize(target);
  if (target == nullptr || old_size >= kMinRemapSize) {
    return MoveTo(target, block, old_size, usable);
  }
  memcpy(target, block, old_size < usable ? old_size : usable);
  FreeAt(place, block);
  return target;
}

size_t TryResizeInPlace(void* block, size_t size) {
  const size_t old_size = UsableSize(block);  // 0 for a pointer that isn't a block
  if (old_size == 0 || size > kMaxRequest) return old_size;
  Span* span = runtime.page_map.SpanOf(block);
  const bool large = span != nullptr && span->size_class == kNoSizeClass;
  if (!large || !ResizeSpan(span, size, 1) || span->bytes() == old_size) return old_size;
  Stay(block, old_size, span->bytes());
  return span->bytes();
}

}  // namespace spanmalloc

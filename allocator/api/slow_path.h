// SPDX-License-Identifier: Apache-2.0
//
// The cold continuations of the fast paths, and the allocations that have no fast path: refills
// and flushes, large blocks, aligned blocks, bad pointers, out of memory. The entry points call
// them; they call the floors below through the runtime.
#ifndef SPANMALLOC_ALLOCATOR_API_SLOW_PATH_H_
#define SPANMALLOC_ALLOCATOR_API_SLOW_PATH_H_

#include <cstddef>
#include <cstdint>

#include "allocator/util/attributes.h"

namespace spanmalloc {

struct NamedPlace;

// realloc leaves a large block as it is rather than return fewer pages than this: 64 KiB.
inline constexpr size_t kMinReturnedPages = 8;

// A block of `size` bytes; nullptr and errno = ENOMEM if it can't be had.
ALLOC_SLOW_PATH void* AllocateSlow(size_t size);

// As AllocateSlow, and FreeSlow of a block that isn't NULL, whose hit isn't looked for and whose
// free isn't counted.
void* AllocateMiss(size_t size);
void FreeMiss(void* block);

// As AllocateSlow, for operator new: calls the new_handler until it helps, throws std::bad_alloc
// when there is none.
ALLOC_SLOW_PATH void* AllocateSlowOrThrow(size_t size);

// Frees a block whose stack is full or whose page has no size class. NULL is allowed.
ALLOC_SLOW_PATH void FreeSlow(void* block);

// Frees a block that was said to be of `size` bytes, or reports that it can't be. NULL is allowed.
ALLOC_SLOW_PATH void FreeSizedSlow(void* block, size_t size);

// Frees a block that was said to be of `size` bytes at `alignment`, or reports that it can't be.
void FreeAlignedSized(void* block, size_t alignment, size_t size);

// Whether `block` may be one of `size` bytes at `alignment`; says so if it isn't.
bool CheckSize(const void* block, size_t alignment, size_t size);

// A block of `size` zero bytes; nullptr and errno = ENOMEM if it can't be had.
void* AllocateZeroed(size_t size);

// A block aligned to `alignment`, a power of two; nullptr and errno = ENOMEM if it can't be had.
ALLOC_SLOW_PATH void* AllocateAlignedSlow(size_t alignment, size_t size);

// As AllocateAlignedSlow, for operator new: calls the new_handler until it helps, throws
// std::bad_alloc when there is none.
ALLOC_SLOW_PATH void* AllocateAlignedSlowOrThrow(size_t alignment, size_t size);

// The usable bytes of a block; 0 for NULL.
size_t UsableSize(const void* block);

// A block of `size` bytes that is a large span whatever its size; nullptr and errno = ENOMEM if it
// can't be had.
void* AllocateLargeBlock(size_t size);

// As AllocateLargeBlock, with room behind the block for the calling thread to grow it into.
void* AllocateGrowingBlock(size_t size);

// Whether a block may come from, and go to, what the calling thread caches of an arena.
enum class ArenaCaching : uint8_t { kUsual, kNone };

// A block of explicit arena `arena`, or of the heap that all threads share for 0, whatever the
// calling thread is bound to; nullptr and errno = ENOMEM if it can't be had or there is no such
// arena. `*zeroed`: it is known to read as zeros.
void* AllocateInArena(unsigned arena, size_t alignment, size_t size, bool* zeroed,
                      ArenaCaching caching = ArenaCaching::kUsual);

// Frees a block of an explicit arena and of a size class, past what the calling thread caches.
void FreeInArenaUncached(void* block);

// The explicit arena that `block` belongs to; 0 for a block of the heap that all threads share.
unsigned ArenaOf(const void* block);

// Whether `block` is a large one of pages that were zero when it was made.
bool IsZeroedLarge(const void* block);

// Frees a block of `size` bytes whose pages were moved away, be it a large span or an object that
// fills its span.
void FreeMovedBlock(void* block, size_t size);

// realloc without its special cases: `block` isn't NULL and `size` isn't 0. nullptr and errno =
// ENOMEM, and the old block untouched, if it can't be had.
void* Reallocate(void* block, size_t size);

// As Reallocate, with the result aligned to `alignment`, a power of two, and of the usable size
// that a new block of so many bytes has.
void* ReallocateExactly(void* block, size_t alignment, size_t size);

// As ReallocateExactly, where `place` names a cache or an arena; a block that needn't move stays.
void* ReallocateAt(const NamedPlace& place, void* block, size_t alignment, size_t size);

// Grows or shrinks a block to hold `size` bytes where it is, and no more pages than that takes, if
// it can: only a large block can. Returns its usable bytes afterwards.
size_t TryResizeInPlace(void* block, size_t size);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_SLOW_PATH_H_

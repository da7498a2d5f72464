// SPDX-License-Identifier: Apache-2.0
//
// The paths of an allocation and a free that hit the thread cache. The instructions of each are
// counted by a golden test.
//
//   malloc(n)      n <= 1 KiB   -> class from the cache's own table -> pop                hit: done
//                  n <= 256 KiB -> AllocateMedium: class computed -> pop                  hit: done
//                  stack empty, or larger -> slow_path.h AllocateSlow
//   aligned_alloc(a, n)   n <= 1 KiB, and the class of n is a multiple of a -> pop     hit: done
//                  else -> slow_path.h AllocateAlignedSlow
//   free(p)        class from the page map's byte -> push                                 hit: done
//                  stack full, no class (NULL, large, foreign) -> slow_path.h FreeSlow
//   delete(p, n)   n <= 1 KiB   -> class from the cache's own table -> push               hit: done
//                  larger -> DeallocateMedium: class from the page map, size checked -> push
//                  stack full, large, wrong size, p not of the heap -> FreeSizedSlow
//
// SYNCHRONIZATION. Nothing here takes a lock or makes an atomic read-modify-write. A thread moves
// only its own stacks; `thread_locals.cache` is loaded once per operation and points at the empty
// cache whenever the stacks are not to be touched (before the first and after the last slow path
// of a thread, and during each). The page map's byte is read without a lock: whoever passes a live
// block owns it, and the byte was written before the block was handed out and stays as long as any
// block of its span is live.
#ifndef SPANMALLOC_ALLOCATOR_API_FAST_PATH_H_
#define SPANMALLOC_ALLOCATOR_API_FAST_PATH_H_

#include <cstddef>
#include <cstdint>

#include "allocator/api/runtime.h"
#include "allocator/api/slow_path.h"
#include "allocator/api/thread_locals.h"
#include "allocator/params/size_class_map.h"
#include "allocator/util/attributes.h"
#include "allocator/util/relaxed.h"
#include "allocator/util/sharing_counts.h"

namespace spanmalloc {

// `slow` serves what misses: it is AllocateSlow with the caller's way of failing.
using SlowAllocate = void* (*)(size_t size);

template <SlowAllocate slow>
ABSL_ATTRIBUTE_NOINLINE void* AllocateMedium(size_t size) {
  if (ABSL_PREDICT_FALSE(size > kMaxClassSize)) return slow(size);
  void* object = RelaxedLoad(thread_locals.cache)->Pop(MediumSizeClass(size));
  return ABSL_PREDICT_TRUE(object != nullptr) ? object : slow(size);
}

template <SlowAllocate slow>
ALLOC_FAST_PATH void* Allocate(size_t size) {
  CountEvent(CountedEvent::kOperation);
  if (ABSL_PREDICT_FALSE(size > kMaxTableSize)) return AllocateMedium<slow>(size);
  ThreadCache* cache = RelaxedLoad(thread_locals.cache);
  void* object = cache->Pop(cache->small_class[(size + 15) / 16]);
  return ABSL_PREDICT_TRUE(object != nullptr) ? object : slow(size);
}

// `slow`, as above, serves what misses.
using SlowAllocateAligned = void* (*)(size_t alignment, size_t size);

// Requires: `alignment` is a power of two.
template <SlowAllocateAligned slow = &AllocateAlignedSlow>
ALLOC_FAST_PATH void* AllocateAligned(size_t alignment, size_t size) {
  CountEvent(CountedEvent::kOperation);
  if (ABSL_PREDICT_FALSE(size > kMaxTableSize)) return slow(alignment, size);
  ThreadCache* cache = RelaxedLoad(thread_locals.cache);
  const SizeClass c = cache->small_class[(size + 15) / 16];
  if (ABSL_PREDICT_FALSE(!IsMultiple(kSizeClassTable[c].size, alignment))) {
    return slow(alignment, size);
  }
  void* object = cache->Pop(c);
  return ABSL_PREDICT_TRUE(object != nullptr) ? object : slow(alignment, size);
}

ALLOC_FAST_PATH void Deallocate(void* block) {
  CountEvent(CountedEvent::kOperation);
  ThreadCache* cache = RelaxedLoad(thread_locals.cache);
  if (ABSL_PREDICT_FALSE(!cache->Push(runtime.page_map.ClassOf(block), block))) FreeSlow(block);
}

// Beyond the table the class comes from the page map, and the size is only checked: realloc may
// have left the block in a class of up to twice its size.
inline ABSL_ATTRIBUTE_NOINLINE void DeallocateMedium(void* block, size_t size) {
  ThreadCache* cache = RelaxedLoad(thread_locals.cache);
  const SizeClass c = runtime.page_map.ClassOf(block);
  if (ABSL_PREDICT_FALSE(!MayKeepClass(c, size) || !cache->Push(c, block))) {
    FreeSizedSlow(block, size);
  }
}

ALLOC_FAST_PATH void DeallocateSized(void* block, size_t size) {
  CountEvent(CountedEvent::kOperation);
  if (ABSL_PREDICT_FALSE(size > kMaxTableSize)) return DeallocateMedium(block, size);
  ThreadCache* cache = RelaxedLoad(thread_locals.cache);
  const uint64_t address = reinterpret_cast<uintptr_t>(block);
  if (ABSL_PREDICT_FALSE(((address >> kHeapAddressBit) & 1) == 0 ||
                         !cache->Push(cache->small_class[(size + 15) / 16], block))) {
    FreeSizedSlow(block, size);
  }
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_FAST_PATH_H_

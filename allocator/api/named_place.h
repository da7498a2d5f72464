// SPDX-License-Identifier: Apache-2.0
//
// mallocx and its kin where their flags name a cache or an arena: where a block comes from and
// where it goes to. Called by jemalloc_api.cc, and by realloc for it; what names neither doesn't
// come here.
#ifndef SPANMALLOC_ALLOCATOR_API_NAMED_PLACE_H_
#define SPANMALLOC_ALLOCATOR_API_NAMED_PLACE_H_

#include <cstddef>

#include "allocator/api/mallocx_flags.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path.h"
#include "allocator/cache/explicit_cache.h"
#include "allocator/params/size_class_map.h"

namespace spanmalloc {

// The cache of the program's that `flags` name; nullptr if they name none that exists.
inline ExplicitCache* NamedCache(MallocxFlags flags) {
  return flags.names_cache() && !flags.without_cache() ? runtime.explicit_caches.Find(flags.cache())
                                                       : nullptr;
}

// A block of a size class: which, and of which arena. Of others, kNoSizeClass.
struct SmallBlock {
  SizeClass size_class;
  unsigned arena;
};

inline SmallBlock SmallBlockOf(const void* block) {
  const SizeClass c = runtime.page_map.ClassOf(block);
  if (ABSL_PREDICT_TRUE(c != kNoSizeClass)) return {c, 0};
  // Pages of explicit arenas show none.
  const Span* span = runtime.page_map.SpanOf(block);
  if (span == nullptr || span->size_class == kNoSizeClass) return {kNoSizeClass, 0};
  return {span->size_class, ArenaOf(block)};
}

struct NamedPlace {
  ExplicitCache* cache = nullptr;  // the program's; nullptr: the calling thread's own, or none
  bool uncached = false;           // none
  bool names_arena = false;
  unsigned arena = 0;  // 0: the heap of all threads

  // A block is made and freed there as by malloc and free.
  bool usual() const { return cache == nullptr && !uncached && arena == thread_locals.arena; }
};

// A hit in the cache that `flags` name, in a thread that doesn't count its calls, or in what the
// thread caches of the arena that they name: a block that AllocateAt would return; nullptr if the
// cache doesn't hold one. (An arena that doesn't exist is that of no cache.)
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void* TakeCached(MallocxFlags flags, size_t size) {
  if (!flags.names_cache()) {
    ThreadState* state = Runtime::ArenaStateForHit(flags.arena());
    if (state == nullptr) return nullptr;
    return state->PopOfArena(AlignedSizeClassOf(size, flags.alignment()));
  }
  ExplicitCache* cache = NamedCache(flags);
  if (cache == nullptr || ABSL_PREDICT_FALSE(MayCount())) return nullptr;
  const size_t c = AlignedSizeClassOf(size, flags.alignment());
  if (c == kNoSizeClass) return nullptr;
  return cache->Pop(flags.names_arena() ? flags.arena() : thread_locals.arena, c);
}

// The same for a free: whether `block` is in the cache now.
inline bool PutCached(MallocxFlags flags, void* block) {
  ExplicitCache* cache = NamedCache(flags);
  if (cache == nullptr || ABSL_PREDICT_FALSE(MayCount())) return false;
  const SmallBlock small = SmallBlockOf(block);
  return small.size_class != kNoSizeClass && cache->Push(small.arena, small.size_class, block);
}

// What `flags` name. If they name no arena it is that of the calling thread; one that doesn't exist
// is the heap of all threads. A cache that doesn't exist is the thread's own: the first time, a
// line on standard error says so.
NamedPlace PlaceOf(MallocxFlags flags);

// A block of `size` bytes from there; nullptr and errno = ENOMEM if it can't be had. `zero`: its
// usable bytes are zeros. Requires: the place isn't the usual one.
void* AllocateAt(const NamedPlace& place, size_t alignment, size_t size, bool zero);

// Frees a block by way of the cache that is named. Blocks find their arena by themselves. NULL is
// allowed.
void FreeAt(const NamedPlace& place, void* block);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_NAMED_PLACE_H_

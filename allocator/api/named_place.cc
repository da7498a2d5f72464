// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/named_place.h"

#include <errno.h>
#include <string.h>

#include <atomic>

#include "allocator/api/counted_calls.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/os/raw_output.h"
#include "allocator/params/size_class_map.h"
#include "allocator/params/span_shapes.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

constinit std::atomic<bool> missing_cache_told{false};

void TellMissingCache(unsigned index) {
  if (missing_cache_told.exchange(true, std::memory_order_relaxed)) return;
  char storage[160];
  TextBuffer line(storage, sizeof(storage));
  line << "spanmalloc: no such cache: MALLOCX_TCACHE(" << index
       << "), expected an index that tcache.create gave, found none; the thread's own is used\n";
  os::WriteToStderr(line.text());
}

// An object that the cache has none of; nullptr if it can't be had.
void* TakeObject(const NamedPlace& place, size_t c, bool* zeroed) {
  if (place.cache != nullptr) return place.cache->Refill(place.arena, c, zeroed);
  void* object = nullptr;
  runtime.central.Remove(static_cast<SizeClass>(c), &object, 1, zeroed);
  return object;
}

// An object of class `c`, for a request of `size` bytes.
void* AllocateObject(const NamedPlace& place, size_t c, size_t alignment, size_t size,
                     bool* zeroed) {
  *zeroed = false;
  if (place.cache != nullptr) {
    if (void* object = place.cache->Pop(place.arena, c)) return object;
  }
  SlowPathScope scope;
  if (scope.nested() || !runtime.EnsureInitialized()) {
    *zeroed = true;
    return place.arena != 0 ? nullptr : runtime.reentrant.Allocate(size, alignment);
  }
  const size_t pages = ShapeOf(c).pages;
  void* object = TakeObject(place, c, zeroed);
  if (ABSL_PREDICT_FALSE(object == nullptr) && place.arena != 0 &&
      runtime.arenas.Provide(place.arena, pages, 1)) {
    object = TakeObject(place, c, zeroed);
  }
  if (ABSL_PREDICT_FALSE(object == nullptr)) {
    if (place.cache != nullptr) place.cache->Flush();
    if (runtime.ReclaimForRetry(pages, 1)) object = TakeObject(place, c, zeroed);
    if (object == nullptr) runtime.NoteFailure(size, pages);
  }
  runtime.Maintain();
  return object;
}

}  // namespace

NamedPlace PlaceOf(MallocxFlags flags) {
  NamedPlace place;
  if (flags.without_cache()) {
    place.uncached = true;
  } else if (flags.names_cache()) {
    place.cache = runtime.explicit_caches.Find(flags.cache());
    if (ABSL_PREDICT_FALSE(place.cache == nullptr)) TellMissingCache(flags.cache());
  }
  place.names_arena = flags.names_arena();
  place.arena = thread_locals.arena;
  if (place.names_arena) {
    place.arena = runtime.arenas.Exists(flags.arena()) ? flags.arena() : 0;
  }
  return place;
}

void* AllocateAt(const NamedPlace& place, size_t alignment, size_t size, bool zero) {
  const size_t c = AlignedSizeClassOf(size, alignment);
  const bool by_object = c != kNoSizeClass && (place.cache != nullptr || place.arena == 0);
  bool zeroed = false;
  void* block;
  if (by_object) {
    block = AllocateObject(place, c, alignment, size, &zeroed);
    if (ABSL_PREDICT_FALSE(block == nullptr)) errno = ENOMEM;
    if (ABSL_PREDICT_FALSE(MayCount())) CountAllocated(block, size);
  } else {
    block = place.arena == 0 && thread_locals.arena == 0
                ? AllocateAlignedSlow(alignment, size)
                : AllocateInArena(place.arena, alignment, size, &zeroed,
                                  place.uncached ? ArenaCaching::kNone : ArenaCaching::kUsual);
    zeroed = zeroed || (block != nullptr && IsZeroedLarge(block));
  }
  if (zero && block != nullptr && !zeroed) memset(block, 0, UsableSize(block));
  return block;
}

void FreeAt(const NamedPlace& place, void* block) {
  if (place.cache == nullptr && !place.uncached) return Deallocate(block);
  const auto [c, arena] = SmallBlockOf(block);
  if (c == kNoSizeClass) return FreeSlow(block);  // a large one, or none at all
  if (ABSL_PREDICT_FALSE(MayCount())) CountFreed(block, kSizeClassTable[c].size);
  if (place.cache == nullptr && arena != 0) return FreeInArenaUncached(block);
  if (place.cache != nullptr && place.cache->Push(arena, c, block)) return;
  SlowPathScope scope;
  if (ABSL_PREDICT_FALSE(scope.nested())) return FreeSlow(block);
  if (place.cache != nullptr) {
    place.cache->Overflow(arena, c, block);
  } else {
    runtime.central.Insert(c, &block, 1);
  }
  runtime.Maintain();
}

}  // namespace spanmalloc

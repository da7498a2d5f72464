// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/slow_path.h"

#include <errno.h>
#include <string.h>

#include "allocator/api/arena_hooks.h"
#include "allocator/api/block_filling.h"
#include "allocator/api/call_hooks.h"
#include "allocator/api/counted_calls.h"
#include "allocator/api/fast_path.h"
#include "allocator/api/new_failure.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_map.h"
#include "allocator/params/span_shapes.h"
#include "allocator/telemetry/corruption_report.h"

namespace spanmalloc {
namespace {

// As MayCount. A thread that shares its CPU's cache isn't told by others (counting_threads.h).
ABSL_ATTRIBUTE_ALWAYS_INLINE inline bool CountsNow() {
  if (ABSL_PREDICT_FALSE(thread_locals.shares) && WantsCallHooks()) {
    RelaxedStore(thread_locals.counting, true);
  }
  return MayCount();
}

// As TakeObject, of a thread that has no cache.
ALLOC_SLOW_PATH void* TakeWithoutCache(size_t c, bool* zeroed) {
  void* object = nullptr;
  runtime.central.Remove(static_cast<SizeClass>(c), &object, 1, zeroed);
  if (FillsBlocks() && object != nullptr) {
    FillAllocated(object, kSizeClassTable[c].size);
    *zeroed = false;
  }
  return object;
}

ALLOC_SLOW_PATH void FillLarge(Span* span) {
  FillAllocated(reinterpret_cast<void*>(span->start), span->bytes());
  span->zeroed = false;
}

// An object of class `c`, from this thread's cache or, for a thread that has none, from its CPU's
// or the central free lists. `*zeroed`: it is known to read as zeros.
void* TakeObject(size_t c, bool* zeroed) {
  *zeroed = false;
  if (ThreadState* state = runtime.ThreadStateOrNull()) {
    void* object = state->cache.Pop(c);
    if (ABSL_PREDICT_TRUE(object == nullptr)) return state->Refill(c, zeroed);
    state->NoteSummoned();
    return object;
  }
  if (thread_locals.shares) return runtime.registry.cpu_caches().Allocate(c, zeroed);
  return TakeWithoutCache(c, zeroed);
}

// As AllocateLarge, after the thread has given back blocks whose pages may do.
ALLOC_SLOW_PATH Span* ReturnAndAllocateLarge(ThreadState* own, size_t pages, size_t alignment) {
  own->UseCache();
  own->ReturnWholeSpans();
  return runtime.page_heap.AllocateLarge(pages, alignment);
}

ALLOC_SLOW_PATH void* TakeLarge(size_t size, size_t alignment, bool* zeroed) {
  ThreadState* own = thread_locals.state;
  const size_t pages = PagesFor(size);
  Span* span = runtime.page_heap.AllocateLarge(pages, alignment,
                                               own == nullptr ? AtPeak::kGrow : AtPeak::kAskFirst);
  if (span == nullptr && own != nullptr) span = ReturnAndAllocateLarge(own, pages, alignment);
  if (span == nullptr) return nullptr;
  if (FillsBlocks()) FillLarge(span);
  *zeroed = span->zeroed;
  return reinterpret_cast<void*>(span->start);
}

// The class that serves a request, kNoSizeClass for a large one.
size_t ClassFor(size_t size, size_t alignment) {
  if (alignment <= kMinAlignment) return size <= kMaxClassSize ? SizeClassOf(size) : kNoSizeClass;
  return AlignedSizeClassOf(size, alignment);
}

// How often hooks are asked for memory for one request.
constexpr int kTriesWithHooks = 3;

// The pages of the span that serves a request for which there is none yet.
size_t PagesOfSpan(size_t c, size_t size) {
  return c != kNoSizeClass ? ShapeOf(c).pages : PagesFor(size);
}

// A hit in what the calling thread caches of the arena that it is bound to; nullptr if there is
// none, or a slow path must look first.
ALLOC_FAST_PATH void* PopBound(size_t c) {
  ThreadState* state = Runtime::ArenaStateForHit(thread_locals.arena);
  return state == nullptr ? nullptr : state->PopOfArena(c);
}

// A hit of any thread, where the fast path hasn't looked.
ALLOC_FAST_PATH void* PopHit(size_t c) {
  if (ABSL_PREDICT_FALSE(thread_locals.arena != 0)) return PopBound(c);
  return RelaxedLoad(thread_locals.cache)->Pop(c);
}

// A hit of a free, for a thread that caches objects of an arena. Pages of arenas show no class, so
// their objects are told by their span.
ALLOC_FAST_PATH bool PushOfArena(void* block) {
  const Span* span = runtime.page_map.SpanOf(block);
  if (span == nullptr || span->size_class == kNoSizeClass || !ArenaSet::Owns(span)) return false;
  ThreadState* state = Runtime::ArenaStateForHit(ArenaSet::IndexOf(span));
  return state != nullptr && span->HasObjectAt(block) &&
         state->PushOfArena(span->size_class, block);
}

// Whether the calling thread caches objects of an arena.
ALLOC_FAST_PATH bool HasArenaState() {
  return thread_locals.state != nullptr && thread_locals.state->of_arena != nullptr;
}

// As TakeObject, or a large block, of an explicit arena.
void* TakeFromArena(unsigned arena, size_t c, size_t size, size_t alignment, bool* zeroed,
                    ArenaCaching caching) {
  *zeroed = false;
  if (c != kNoSizeClass && caching == ArenaCaching::kUsual) {
    if (ThreadState* state = runtime.ArenaStateOrNull(arena)) {
      void* object = state->PopOfArena(c);
      return object != nullptr ? object : state->Refill(c, zeroed);
    }
  }
  return runtime.arenas.Allocate(arena, c, size == 0 ? 1 : size, alignment, zeroed);
}

// As Take, in an explicit arena.
ALLOC_SLOW_PATH void* TakeInArena(unsigned arena, size_t c, size_t size, size_t alignment,
                                  bool* zeroed, ArenaCaching caching = ArenaCaching::kUsual) {
  if (size > kMaxRequest) return nullptr;
  SlowPathScope scope;
  if (scope.nested() || !runtime.EnsureInitialized()) {
    *zeroed = true;
    return runtime.reentrant.Allocate(size, alignment);
  }
  void* block = nullptr;
  const size_t pages = PagesOfSpan(c, size);
  const size_t span_alignment = c == kNoSizeClass ? alignment : 1;
  for (bool again : {true, false}) {
    block = TakeFromArena(arena, c, size, alignment, zeroed, caching);
    // Another thread may have taken what hooks provided.
    for (int i = 0; block == nullptr && i < kTriesWithHooks; ++i) {
      if (!runtime.arenas.Provide(arena, pages, span_alignment)) break;
      block = TakeFromArena(arena, c, size, alignment, zeroed, caching);
    }
    if (block != nullptr || !again || !runtime.ReclaimForRetry(pages, span_alignment)) break;
  }
  if (ABSL_PREDICT_FALSE(block == nullptr)) runtime.NoteFailure(size, pages);
  ServeArenaHooks(arena);
  runtime.Maintain();
  return block;
}

// As Take, in the heap that all threads share.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void* TakeInCommonHeap(size_t c, size_t size, size_t alignment,
                                                           bool* zeroed) {
  if (size > kMaxRequest) return nullptr;
  SlowPathScope scope;
  if (scope.nested() || !runtime.EnsureInitialized()) {
    *zeroed = true;
    return runtime.reentrant.Allocate(size, alignment);
  }
  void* block = nullptr;
  for (bool again : {true, false}) {
    block = c != kNoSizeClass ? TakeObject(c, zeroed)
                              : TakeLarge(size == 0 ? 1 : size, alignment, zeroed);
    if (block != nullptr || !again) break;
    if (!runtime.ReclaimForRetry(PagesOfSpan(c, size), alignment)) break;
  }
  if (ABSL_PREDICT_FALSE(block == nullptr)) runtime.NoteFailure(size, PagesOfSpan(c, size));
  runtime.Maintain();
  return block;
}

// A block of class `c`, or a large one for kNoSizeClass; nullptr, with errno left alone, if it
// can't be had.
void* TakeUncounted(size_t c, size_t size, size_t alignment, bool* zeroed) {
  if (ABSL_PREDICT_FALSE(thread_locals.arena != 0)) {
    return TakeInArena(thread_locals.arena, c, size, alignment, zeroed);
  }
  return TakeInCommonHeap(c, size, alignment, zeroed);
}

void* Take(size_t c, size_t size, size_t alignment, bool* zeroed) {
  void* block = TakeUncounted(c, size, alignment, zeroed);
  if (ABSL_PREDICT_FALSE(CountsNow())) CountAllocated(block, size);
  return block;
}

// Memory couldn't be had: nullptr and errno = ENOMEM, unless the program's new_handler is called,
// and helps.
ALLOC_SLOW_PATH void* TakeOnceMore(size_t size, size_t alignment, bool* zeroed) {
  while (MallocCallsNewHandler() && CallNewHandler()) {
    if (void* block = AllocateInArena(thread_locals.arena, alignment, size, zeroed)) return block;
  }
  errno = ENOMEM;
  return nullptr;
}

void* TakeOrFail(size_t c, size_t size, size_t alignment, bool* zeroed) {
  void* block = Take(c, size, alignment, zeroed);
  if (ABSL_PREDICT_FALSE(block == nullptr)) return TakeOnceMore(size, alignment, zeroed);
  runtime.StartBackgroundIfWanted();
  return block;
}

void Report(Fault fault, const void* pointer, const Span* span, size_t claimed_size) {
  BadPointer bad = {.fault = fault,
                    .pointer = pointer,
                    .claimed_size = claimed_size,
                    .block_size = 0,
                    .block_start = nullptr};
  if (span != nullptr) {
    const bool large = span->size_class == kNoSizeClass;
    const auto offset = reinterpret_cast<uintptr_t>(pointer) - span->start;
    bad.block_size = large ? span->bytes() : span->object_size();
    bad.block_start = reinterpret_cast<void*>(
        span->start + (large ? 0 : offset / span->object_size() * span->object_size()));
  }
  ReportBadPointer(bad);
}

Fault MissingFault(const void* pointer) { return runtime.page_heap.MissingFault(pointer); }

// As PutObject, of a thread that has no cache.
ALLOC_SLOW_PATH void PutWithoutCache(size_t c, void* object) {
  if (FillsBlocks()) FillFreed(object);
  runtime.central.Insert(static_cast<SizeClass>(c), &object, 1);
}

// Puts an object of class `c` into the thread's cache, flushing if need be. A bad pointer that its
// page's class doesn't give away is found when it gets to its span (see PerCpuCentral::Insert).
void PutObject(size_t c, void* object) {
  ThreadState* state = runtime.ThreadStateOrNull();
  if (thread_locals.shares) {
    runtime.registry.cpu_caches().Free(c, object);
  } else if (state == nullptr) {
    PutWithoutCache(c, object);
  } else if (!state->cache.Push(c, object)) {
    state->Overflow(c, object);
  } else {
    state->NoteSummoned();
  }
}

// Whether a block may have been asked for with `size` bytes, for which `claimed` is the class. Up
// to kMaxTableSize it must have just that class, unless it was borrowed from another; beyond,
// realloc may have left it in place with a size of half as much as it holds, or a few pages less.
// What the page map doesn't know is left for free to judge.
bool SizeFits(const void* block, size_t size, size_t claimed) {
  const SizeClass actual = runtime.page_map.ClassOf(block);
  if (actual != kNoSizeClass && (actual == claimed || MayKeepClass(actual, size))) return true;
  const Span* span = runtime.page_map.SpanOf(block);
  if (actual != kNoSizeClass) {
    return span != nullptr && span->MayHaveLentAs(static_cast<SizeClass>(claimed));
  }
  if (span == nullptr || span->size_class != kNoSizeClass ||
      span->start != reinterpret_cast<uintptr_t>(block)) {
    return true;
  }
  // So may it, by any size, where memory of the program's own isn't cut.
  return size <= span->bytes() &&
         (span->pages - PagesFor(size) < kMinReturnedPages || runtime.page_heap.IsForeign(block));
}

// Says that `block` isn't of `size` bytes.
void ReportSize(const void* block, size_t size) {
  SlowPathScope scope;
  const Span* span = runtime.page_map.SpanOf(block);
  Report(span == nullptr ? MissingFault(block) : Fault::kSizeMismatch, block, span, size);
}

// Frees a large block, or what was taken for one.
void FreeLargeBlock(void* block) {
  const LargeFault fault = runtime.page_heap.FreeLarge(block);
  if (ABSL_PREDICT_TRUE(fault == LargeFault::kNone)) return;
  Span* span = runtime.page_map.SpanOf(block);
  if (runtime.reentrant.Free(block)) return;
  if (fault == LargeFault::kInterior) {
    return Report(InteriorFault(block), block, span, 0);
  }
  Report(MissingFault(block), block, nullptr, 0);
}

// Puts an object of an explicit arena into what the thread caches of that, flushing if need be.
// False if it caches nothing of it, or no object starts there.
bool PutInArenaCache(unsigned arena, const Span* span, void* block) {
  ThreadState* state = runtime.HeldArenaState(arena);
  if (state == nullptr || !span->HasObjectAt(block)) return false;
  const size_t c = span->size_class;
  if (ABSL_PREDICT_FALSE(state->IsOnTop(c, block))) {
    Report(Fault::kDoubleFree, block, span, 0);
  } else if (!state->PushOfArena(c, block)) {
    state->Overflow(c, block);
  }
  return true;
}

void FreeInArena(Span* span, void* block, ArenaCaching caching = ArenaCaching::kUsual) {
  const unsigned arena = ArenaSet::IndexOf(span);
  if (span->size_class == kNoSizeClass) {
    FreeLargeBlock(block);
  } else if (caching == ArenaCaching::kNone || !PutInArenaCache(arena, span, block)) {
    runtime.arenas.Free(span, block);
  }
  ServeArenaHooks(arena);
}

// Frees a block whose page shows no class: a large one, or one of an explicit arena.
void FreeUnclassed(void* block) {
  if (FillsBlocks()) FillFreed(block);
  if (ABSL_PREDICT_FALSE(runtime.arenas.end() != 1)) {
    Span* object_span = runtime.page_map.SpanOf(block);
    if (object_span != nullptr && ArenaSet::Owns(object_span)) {
      return FreeInArena(object_span, block);
    }
  }
  FreeLargeBlock(block);
}

// An object of class `c`, which may be kNoSizeClass, from the CPU's cache of a thread that has
// none and doesn't count; nullptr if there isn't any.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void* PopShared(size_t c) {
  if (ABSL_PREDICT_TRUE(!thread_locals.shares) || CountsNow() || c == kNoSizeClass) return nullptr;
  return runtime.registry.cpu_caches().Pop(c);
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline bool PushShared(void* block) {
  if (ABSL_PREDICT_TRUE(!thread_locals.shares)) return false;
  const SizeClass c = runtime.page_map.ClassOf(block);
  return c != kNoSizeClass && runtime.registry.cpu_caches().Push(c, block);
}

// Frees a block in a thread that caches objects of an arena.
ABSL_ATTRIBUTE_NOINLINE void FreeOrPushOfArena(void* block) {
  if (PushOfArena(block)) return;
  if (ABSL_PREDICT_FALSE(CountsNow())) return FreeCounted(block);
  FreeMiss(block);
}

}  // namespace

void* AllocateMiss(size_t size) {
  const size_t c = ClassFor(size, kMinAlignment);
  if (ABSL_PREDICT_FALSE(thread_locals.arena != 0)) {
    if (void* object = PopBound(c)) return object;
  }
  bool zeroed;
  return TakeOrFail(c, size, kMinAlignment, &zeroed);
}

void* AllocateSlow(size_t size) {
  if (ABSL_PREDICT_FALSE(CountsNow())) return AllocateCounted(size);
  if (void* object = PopShared(ClassFor(size, kMinAlignment))) return object;
  return AllocateMiss(size);
}

void* AllocateLargeBlock(size_t size) {
  bool zeroed;
  return TakeOrFail(kNoSizeClass, size, kMinAlignment, &zeroed);
}

void* AllocateGrowingBlock(size_t size) {
  void* block = nullptr;
  {
    SlowPathScope scope;
    const ThreadState* state = thread_locals.state;
    if (!scope.nested() && state != nullptr && thread_locals.arena == 0) {
      Span* span = runtime.page_heap.AllocateGrowing(PagesFor(size), state);
      runtime.Maintain();
      if (span != nullptr) block = reinterpret_cast<void*>(span->start);
    }
  }
  if (block == nullptr) return AllocateLargeBlock(size);
  if (ABSL_PREDICT_FALSE(CountsNow())) CountAllocated(block, size);
  return block;
}

void* AllocateSlowOrThrow(size_t size) {
  if (ABSL_PREDICT_FALSE(CountsNow())) {
    if (void* block = AllocateCounted(size)) return block;
  }
  return AllocateAlignedSlowOrThrow(kMinAlignment, size);
}

void* AllocateAlignedSlowOrThrow(size_t alignment, size_t size) {
  for (;;) {
    void* block = AllocateAlignedSlow(alignment, size);
    if (ABSL_PREDICT_TRUE(block != nullptr)) return block;
    if (NewIsInfallible()) return ReportFailedNew(size), nullptr;
    if (!CallNewHandler()) ThrowBadAlloc();
  }
}

void* AllocateZeroed(size_t size) {
  bool zeroed = false;
  void* block = nullptr;
  if (size <= kMaxClassSize) block = PopHit(SizeClassOf(size));
  if (block == nullptr) {
    block = TakeOrFail(ClassFor(size, kMinAlignment), size, kMinAlignment, &zeroed);
  }
  if (block != nullptr && !zeroed) memset(block, 0, size);
  return block;
}

void* AllocateAlignedSlow(size_t alignment, size_t size) {
  const size_t c = ClassFor(size, alignment);
  if (c != kNoSizeClass) {
    void* object = PopHit(c);
    if (ABSL_PREDICT_TRUE(object != nullptr)) return object;
  }
  if (void* object = PopShared(c)) return object;
  bool zeroed;
  return TakeOrFail(c, size, alignment, &zeroed);
}

void FreeMiss(void* block) {
  SlowPathScope scope;
  if (ABSL_PREDICT_FALSE(scope.nested())) {
    if (!runtime.reentrant.Free(block)) runtime.reentrant.Defer(block);
    return;
  }
  const SizeClass c = runtime.page_map.ClassOf(block);
  if (c != kNoSizeClass) {
    PutObject(c, block);
  } else {
    FreeUnclassed(block);
  }
  runtime.Maintain();
}

void FreeSlow(void* block) {
  if (block == nullptr) return;
  if (ABSL_PREDICT_FALSE(HasArenaState())) return FreeOrPushOfArena(block);
  if (ABSL_PREDICT_FALSE(CountsNow())) return FreeCounted(block);
  if (!PushShared(block)) FreeMiss(block);
}

void* AllocateInArena(unsigned arena, size_t alignment, size_t size, bool* zeroed,
                      ArenaCaching caching) {
  *zeroed = false;
  const size_t c = ClassFor(size, alignment);
  void* block = arena != 0 ? TakeInArena(arena, c, size, alignment, zeroed, caching)
                           : TakeInCommonHeap(c, size, alignment, zeroed);
  if (ABSL_PREDICT_FALSE(CountsNow())) CountAllocated(block, size);
  if (block == nullptr) errno = ENOMEM;
  return block;
}

void FreeInArenaUncached(void* block) {
  SlowPathScope scope;
  if (ABSL_PREDICT_FALSE(scope.nested())) return FreeSlow(block);
  if (FillsBlocks()) FillFreed(block);
  FreeInArena(runtime.page_map.SpanOf(block), block, ArenaCaching::kNone);
  runtime.Maintain();
}

unsigned ArenaOf(const void* block) {
  const Span* span = runtime.page_map.SpanOf(block);
  if (span == nullptr || !ArenaSet::Owns(span)) return 0;
  return ArenaSet::IndexOf(span);
}

bool IsZeroedLarge(const void* block) {
  const Span* span = runtime.page_map.SpanOf(block);
  return span != nullptr && span->size_class == kNoSizeClass && span->zeroed;
}

void FreeMovedBlock(void* block, size_t size) {
  // The move may have cost the block its place (see PageHeap::MoveLarge): then it is gone.
  if (runtime.page_map.SpanOf(block) != nullptr) return Deallocate(block);
  if (ABSL_PREDICT_FALSE(CountsNow())) CountFreed(block, size);
}

void FreeSizedSlow(void* block, size_t size) {
  if (ABSL_PREDICT_FALSE(!SizeFits(block, size, ClassFor(size, kMinAlignment)))) {
    return ReportSize(block, size);
  }
  FreeSlow(block);
}

bool CheckSize(const void* block, size_t alignment, size_t size) {
  if (ABSL_PREDICT_TRUE(SizeFits(block, size, ClassFor(size, alignment)))) return true;
  ReportSize(block, size);
  return false;
}

void FreeAlignedSized(void* block, size_t alignment, size_t size) {
  if (CheckSize(block, alignment, size)) Deallocate(block);
}

size_t UsableSize(const void* block) {
  if (block == nullptr) return 0;
  const SizeClass c = runtime.page_map.ClassOf(block);
  if (ABSL_PREDICT_TRUE(c != kNoSizeClass)) return kSizeClassTable[c].size;
  const Span* span = runtime.page_map.SpanOf(block);
  if (span != nullptr && span->size_class != kNoSizeClass) return span->object_size();
  if (span != nullptr) {
    if (span->start == reinterpret_cast<uintptr_t>(block)) return span->bytes();
    Report(InteriorFault(block), block, span, 0);
    return 0;
  }
  const size_t bytes = runtime.reentrant.UsableSize(block);
  if (bytes == 0) Report(MissingFault(block), block, nullptr, 0);
  return bytes;
}

}  // namespace spanmalloc

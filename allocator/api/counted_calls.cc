// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/counted_calls.h"

#include "allocator/api/call_hooks.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/params/size_class_map.h"

namespace spanmalloc {
namespace {

// A block as the counts see it; no bytes if it is none of the heap's.
struct Counted {
  size_t size_class;
  size_t bytes;
};

ALLOC_FAST_PATH Counted Look(const void* block) {
  const SizeClass c = runtime.page_map.ClassOf(block);
  if (c != kNoSizeClass) return {c, kSizeClassTable[c].size};
  const Span* span = runtime.page_map.SpanOf(block);
  if (span == nullptr) return {kNoSizeClass, 0};
  if (span->size_class != kNoSizeClass) return {span->size_class, span->object_size()};
  const bool starts = span->start == reinterpret_cast<uintptr_t>(block);
  return {kNoSizeClass, starts ? span->bytes() : 0};
}

// The state of the thread, with which it now is in a hidden path (cache/thread_locals.h); nullptr
// if it is in a slow path, has no state, may not have decided whether it counts, or has to get its
// cache back. Makes no call: those that serve a hit save no registers.
ALLOC_FAST_PATH ThreadState* BeginCounted() {
  ThreadLocals& own = thread_locals;
  ThreadState* state = own.state;
  if (own.depth != 0 || state == nullptr || own.counts == nullptr) return nullptr;
  if (ABSL_PREDICT_FALSE(WantsCallHooks())) return nullptr;
  BeginHiddenPath(own);
  if (ABSL_PREDICT_TRUE(state->MayUseHidden())) return state;
  EndHiddenPath(own);
  return nullptr;
}

// The thread's counts, to be written in `scope`.
ALLOC_FAST_PATH ThreadCounts* CountsIn(const SlowPathScope& scope) {
  if (scope.nested() || !runtime.EnsureInitialized()) return nullptr;
  return runtime.CountsOrNull();
}

}  // namespace

void* AllocateCounted(size_t size) {
  if (size > kMaxClassSize || thread_locals.arena != 0) return AllocateMiss(size);
  ThreadState* state = BeginCounted();
  if (ABSL_PREDICT_FALSE(state == nullptr)) return AllocateMiss(size);
  const size_t c = SizeClassOf(size);
  void* object = state->cache.Pop(c);
  if (ABSL_PREDICT_TRUE(object != nullptr)) {
    thread_locals.counts->NoteAllocated(c, kSizeClassTable[c].size);
  }
  EndHiddenPath(thread_locals);
  return ABSL_PREDICT_TRUE(object != nullptr) ? object : AllocateMiss(size);
}

void FreeCounted(void* block) {
  const SizeClass c = runtime.page_map.ClassOf(block);
  ThreadState* state = c == kNoSizeClass ? nullptr : BeginCounted();
  if (ABSL_PREDICT_FALSE(state == nullptr)) {
    CountFreed(block, Look(block).bytes);
    return FreeMiss(block);
  }
  thread_locals.counts->NoteFreed(kSizeClassTable[c].size);
  const bool pushed = state->cache.Push(c, block);
  EndHiddenPath(thread_locals);
  if (ABSL_PREDICT_FALSE(!pushed)) FreeMiss(block);
}

void CountAllocated(const void* block, size_t size) {
  if (block == nullptr) return;
  {
    SlowPathScope scope;
    ThreadCounts* counts = CountsIn(scope);
    const Counted counted = Look(block);
    if (counts == nullptr || counted.bytes == 0) return;
    counts->NoteAllocated(counted.size_class, counted.bytes);
  }
  if (ABSL_PREDICT_FALSE(WantsCallHooks())) call_hooks.on_new.Call(block, size);
}

void CountFreed(const void* block, size_t bytes) {
  {
    SlowPathScope scope;
    ThreadCounts* counts = CountsIn(scope);
    if (counts == nullptr) return;
    counts->NoteFreed(bytes);
  }
  if (ABSL_PREDICT_FALSE(WantsCallHooks()) && bytes != 0) call_hooks.on_delete.Call(block);
}

void CountResized(const void* block, size_t old_bytes, size_t bytes) {
  {
    SlowPathScope scope;
    ThreadCounts* counts = CountsIn(scope);
    if (counts == nullptr) return;
    counts->NoteResized(old_bytes, bytes);
  }
  if (ABSL_PREDICT_TRUE(!WantsCallHooks())) return;
  call_hooks.on_delete.Call(block);
  call_hooks.on_new.Call(block, bytes);
}

}  // namespace spanmalloc

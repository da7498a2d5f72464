// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/counted_calls.h"

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

// The thread's counts, to be written in `scope`.
ALLOC_FAST_PATH ThreadCounts* CountsIn(const SlowPathScope& scope) {
  if (scope.nested() || !runtime.EnsureInitialized()) return nullptr;
  return runtime.CountsOrNull();
}

}  // namespace

void* PopCounted(size_t c) {
  SlowPathScope scope;
  ThreadCounts* counts = CountsIn(scope);
  ThreadState* state = thread_locals.state;
  if (counts == nullptr || state == nullptr || c == kNoSizeClass) return nullptr;
  state->UseCache();
  void* object = state->cache.Pop(c);
  if (object != nullptr) counts->NoteAllocated(c, kSizeClassTable[c].size);
  return object;
}

void CountAllocated(const void* block) {
  SlowPathScope scope;
  ThreadCounts* counts = CountsIn(scope);
  if (counts == nullptr || block == nullptr) return;
  const Counted counted = Look(block);
  if (counted.bytes != 0) counts->NoteAllocated(counted.size_class, counted.bytes);
}

bool PushCounted(void* block) {
  SlowPathScope scope;
  ThreadCounts* counts = CountsIn(scope);
  if (counts == nullptr) return false;
  counts->NoteFreed(Look(block).bytes);
  const SizeClass c = runtime.page_map.ClassOf(block);
  ThreadState* state = thread_locals.state;
  if (c == kNoSizeClass || state == nullptr) return false;
  state->UseCache();
  return state->cache.Push(c, block);
}

void CountFreed(size_t bytes) {
  SlowPathScope scope;
  if (ThreadCounts* counts = CountsIn(scope)) counts->NoteFreed(bytes);
}

void CountResized(size_t old_bytes, size_t bytes) {
  SlowPathScope scope;
  if (ThreadCounts* counts = CountsIn(scope)) counts->NoteResized(old_bytes, bytes);
}

}  // namespace spanmalloc

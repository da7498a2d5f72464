// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/block_checks.h"

#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"

namespace spanmalloc {

bool IsInHeap(const void* pointer) {
  if (pointer == nullptr) return false;
  return runtime.page_map.SpanOf(pointer) != nullptr || runtime.reentrant.UsableSize(pointer) != 0;
}

bool IsBlock(const void* pointer) {
  if (pointer == nullptr) return false;
  const Span* span = runtime.page_map.SpanOf(pointer);
  if (span == nullptr) return runtime.reentrant.UsableSize(pointer) != 0;
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  if (span->size_class == kNoSizeClass) return span->start == address;
  const size_t offset = address - span->start;
  return offset % span->object_size() == 0 && offset / span->object_size() < span->objects();
}

size_t OwnCacheBytes() {
  SlowPathScope scope;
  if (scope.nested() || thread_locals.state == nullptr) return 0;
  size_t counts[kSizeClassEnd] = {};
  thread_locals.state->AddCounts(counts);
  if (thread_locals.state->of_arena != nullptr) thread_locals.state->of_arena->AddCounts(counts);
  size_t bytes = 0;
  for (size_t c = 1; c < kSizeClassEnd; ++c) bytes += counts[c] * kSizeClassTable[c].size;
  return bytes;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// gperftools' C functions about its allocator. Contracts: malloc_extension_c.h.
#include <limits.h>
#include <spanmalloc/malloc_extension_c.h>

#include "absl/numeric/bits.h"
#include "allocator/api/block_checks.h"
#include "allocator/api/exported.h"
#include "allocator/api/gperftools_properties.h"
#include "allocator/api/gperftools_summary.h"
#include "allocator/api/purge.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/api/statistics.h"
#include "allocator/params/size_class_map.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

void ReleasePages(size_t pages) {
  SlowPathScope scope;
  if (!scope.nested() && runtime.EnsureInitialized()) runtime.page_heap.Release(pages);
}

size_t ExpectedSize(size_t size) {
  if (size <= kMaxClassSize) return kSizeClassTable[SizeClassOf(size)].size;
  return size > kMaxRequest ? size : PagesFor(size) * kPageSize;
}

int AsInt(uint64_t count) { return count > INT_MAX ? INT_MAX : static_cast<int>(count); }

bool IsBlockOrNull(const void* block) { return block == nullptr || IsBlock(block); }

}  // namespace
}  // namespace spanmalloc

extern "C" {

SPANMALLOC_EXPORT int MallocExtension_GetNumericProperty(const char* property,
                                                         size_t* value) noexcept {
  return spanmalloc::ReadProperty(property, value);
}

SPANMALLOC_EXPORT int MallocExtension_SetNumericProperty(const char* property,
                                                         size_t value) noexcept {
  return spanmalloc::WriteProperty(property, value);
}

SPANMALLOC_EXPORT void MallocExtension_GetStats(char* buffer, int length) noexcept {
  if (length <= 0) return;
  spanmalloc::TextBuffer text(buffer, static_cast<size_t>(length));
  spanmalloc::WriteGperftoolsSummary(&text);
}

SPANMALLOC_EXPORT int MallocExtension_MallocMemoryStats(
    int* blocks, size_t* total, int histogram[kMallocExtensionHistogramSize]) noexcept {
  *blocks = 0;
  *total = 0;
  for (int i = 0; i < kMallocExtensionHistogramSize; ++i) histogram[i] = 0;
  spanmalloc::WithStatistics([&](const spanmalloc::StatsSnapshot& stats) {
    uint64_t count = 0;
    const auto add = [&](uint64_t live, uint64_t size) {
      count += live;
      const auto place = absl::bit_width(size);
      histogram[place] = spanmalloc::AsInt(static_cast<uint64_t>(histogram[place]) + live);
    };
    for (size_t c = 1; c < spanmalloc::kSizeClassEnd; ++c) {
      add(stats.classes[c].live, spanmalloc::kSizeClassTable[c].size);
    }
    const uint64_t large = stats.heap.large_spans;
    if (large != 0) add(large, stats.large_live() / large);
    *blocks = spanmalloc::AsInt(count);
    *total = stats.allocated();
  });
  return 1;
}

SPANMALLOC_EXPORT void MallocExtension_ReleaseToSystem(size_t bytes) noexcept {
  const size_t pages = bytes / spanmalloc::kPageSize;
  spanmalloc::ReleasePages(bytes % spanmalloc::kPageSize == 0 ? pages : pages + 1);
}

SPANMALLOC_EXPORT void MallocExtension_ReleaseFreeMemory() noexcept { spanmalloc::PurgeAll(); }

SPANMALLOC_EXPORT void MallocExtension_SetMemoryReleaseRate(double rate) noexcept {
  spanmalloc::SetReleaseRate(rate);
}

SPANMALLOC_EXPORT double MallocExtension_GetMemoryReleaseRate() noexcept {
  return spanmalloc::ReleaseRate();
}

SPANMALLOC_EXPORT void MallocExtension_MarkThreadIdle() noexcept { spanmalloc::FlushThreadCache(); }
SPANMALLOC_EXPORT void MallocExtension_MarkThreadTemporarilyIdle() noexcept {
  spanmalloc::FlushThreadCache();
}
SPANMALLOC_EXPORT void MallocExtension_MarkThreadBusy() noexcept {}

SPANMALLOC_EXPORT size_t MallocExtension_GetThreadCacheSize() noexcept {
  return spanmalloc::OwnCacheBytes();
}

SPANMALLOC_EXPORT size_t MallocExtension_GetEstimatedAllocatedSize(size_t size) noexcept {
  return spanmalloc::ExpectedSize(size);
}

SPANMALLOC_EXPORT size_t MallocExtension_GetAllocatedSize(const void* block) noexcept {
  return spanmalloc::UsableSize(block);
}

SPANMALLOC_EXPORT MallocExtension_Ownership
MallocExtension_GetOwnership(const void* pointer) noexcept {
  return spanmalloc::IsInHeap(pointer) ? MallocExtension_kOwned : MallocExtension_kNotOwned;
}

SPANMALLOC_EXPORT int MallocExtension_VerifyNewMemory(const void* block) noexcept {
  return spanmalloc::IsBlockOrNull(block);
}
SPANMALLOC_EXPORT int MallocExtension_VerifyArrayNewMemory(const void* block) noexcept {
  return spanmalloc::IsBlockOrNull(block);
}
SPANMALLOC_EXPORT int MallocExtension_VerifyMallocMemory(const void* block) noexcept {
  return spanmalloc::IsBlockOrNull(block);
}
SPANMALLOC_EXPORT int MallocExtension_VerifyAllMemory() noexcept { return 1; }

}  // extern "C"

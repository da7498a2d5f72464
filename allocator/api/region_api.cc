// SPDX-License-Identifier: Apache-2.0
//
// The C functions of regions. Contracts: spanmalloc.h, whose inline code allocates from a region of
// one thread as long as what is committed lasts.
#include <errno.h>
#include <spanmalloc/spanmalloc.h>

#include <cstddef>

#include "absl/numeric/bits.h"
#include "allocator/api/exported.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/telemetry/corruption_report.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

static_assert(sizeof(RegionFront) == sizeof(spanmalloc_region));
static_assert(offsetof(RegionFront, limit) == offsetof(spanmalloc_region, limit_));

spanmalloc_region* PublicOf(Region* region) {
  return reinterpret_cast<spanmalloc_region*>(static_cast<RegionFront*>(region));
}

// The region behind the program's pointer; nullptr, and a report, if it isn't a live one.
Region* LiveRegion(const char* caller, spanmalloc_region* pointer) {
  if (pointer != nullptr) {
    auto* region = static_cast<Region*>(reinterpret_cast<RegionFront*>(pointer));
    if (ABSL_PREDICT_TRUE(region->IsLive())) return region;
  }
  char storage[256];
  TextBuffer line(storage, sizeof(storage));
  line << "spanmalloc: bad region: pointer " << static_cast<const void*>(pointer)
       << ", expected a live region in " << caller << ", found "
       << (pointer == nullptr ? "NULL" : "one that is destroyed, or none") << "\n";
  ReportFault(line.c_str());
  return nullptr;
}

void ReportMark(const Region& region, const RegionMark& mark, MarkFault fault) {
  char storage[256];
  TextBuffer line(storage, sizeof(storage));
  line << "spanmalloc: bad mark: pointer " << reinterpret_cast<const void*>(mark.position)
       << ", expected a mark of the region at " << reinterpret_cast<const void*>(region.base())
       << ", found "
       << (fault == MarkFault::kForeign ? "none of this region"
                                        : "one that the region was rewound past")
       << "\n";
  ReportFault(line.c_str());
}

std::nullptr_t FailWithEinval() {
  errno = EINVAL;
  return nullptr;
}

void* FailWithEnomem() {
  errno = ENOMEM;
  return nullptr;
}

}  // namespace
}  // namespace spanmalloc

extern "C" {

SPANMALLOC_EXPORT spanmalloc_region* spanmalloc_region_create(size_t reserve, int flags) noexcept {
  if ((flags & ~SPANMALLOC_REGION_SHARED) != 0) return spanmalloc::FailWithEinval();
  spanmalloc::SlowPathScope scope;
  if (!scope.nested() && spanmalloc::runtime.EnsureInitialized()) {
    const bool shared = (flags & SPANMALLOC_REGION_SHARED) != 0;
    spanmalloc::Region* region = spanmalloc::runtime.regions.Create(reserve, shared);
    if (region != nullptr) return spanmalloc::PublicOf(region);
  }
  errno = ENOMEM;
  return nullptr;
}

SPANMALLOC_EXPORT void* spanmalloc_region_allocate_slow(spanmalloc_region* pointer, size_t size,
                                                        size_t alignment) noexcept {
  spanmalloc::Region* region = spanmalloc::LiveRegion("spanmalloc_region_allocate", pointer);
  if (region == nullptr) return spanmalloc::FailWithEnomem();
  if (!absl::has_single_bit(alignment)) return spanmalloc::FailWithEinval();
  uintptr_t end;
  void* block = region->Allocate(size == 0 ? 1 : size, alignment, &end);
  if (ABSL_PREDICT_TRUE(block != nullptr)) return block;
  spanmalloc::SlowPathScope scope;
  if (!scope.nested()) {
    block = spanmalloc::runtime.regions.Allocate(region, size == 0 ? 1 : size, alignment);
  }
  return block != nullptr ? block : spanmalloc::FailWithEnomem();
}

SPANMALLOC_EXPORT spanmalloc_region_mark
spanmalloc_region_get_mark(spanmalloc_region* pointer) noexcept {
  spanmalloc::Region* region = spanmalloc::LiveRegion("spanmalloc_region_get_mark", pointer);
  if (region == nullptr) return {0, 0};
  const spanmalloc::RegionMark mark = region->Mark();
  return {mark.position, mark.time};
}

SPANMALLOC_EXPORT void spanmalloc_region_rewind(spanmalloc_region* pointer,
                                                spanmalloc_region_mark mark) noexcept {
  spanmalloc::Region* region = spanmalloc::LiveRegion("spanmalloc_region_rewind", pointer);
  if (region == nullptr) return;
  const spanmalloc::RegionMark own = {mark.position_, mark.time_};
  const spanmalloc::MarkFault fault = region->Rewind(own);
  if (ABSL_PREDICT_FALSE(fault != spanmalloc::MarkFault::kNone)) {
    spanmalloc::ReportMark(*region, own, fault);
  }
}

SPANMALLOC_EXPORT void spanmalloc_region_reset(spanmalloc_region* pointer) noexcept {
  spanmalloc::Region* region = spanmalloc::LiveRegion("spanmalloc_region_reset", pointer);
  if (region != nullptr) region->Reset();
}

SPANMALLOC_EXPORT size_t spanmalloc_region_trim(spanmalloc_region* pointer, size_t keep) noexcept {
  spanmalloc::Region* region = spanmalloc::LiveRegion("spanmalloc_region_trim", pointer);
  spanmalloc::SlowPathScope scope;
  if (region == nullptr || scope.nested()) return 0;
  return spanmalloc::runtime.regions.Trim(region, keep);
}

SPANMALLOC_EXPORT spanmalloc_region_sizes
spanmalloc_region_get_sizes(spanmalloc_region* pointer) noexcept {
  spanmalloc::Region* region = spanmalloc::LiveRegion("spanmalloc_region_get_sizes", pointer);
  if (region == nullptr) return {0, 0, 0};
  const spanmalloc::RegionSizes sizes = region->Sizes();
  return {sizes.used, sizes.committed, sizes.reserved};
}

SPANMALLOC_EXPORT void spanmalloc_region_destroy(spanmalloc_region* pointer) noexcept {
  spanmalloc::Region* region = spanmalloc::LiveRegion("spanmalloc_region_destroy", pointer);
  spanmalloc::SlowPathScope scope;
  if (region != nullptr && !scope.nested()) spanmalloc::runtime.regions.Destroy(region);
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
//
// Facts that mallctl and the statistics dump tell beside the numbers: how the library was built,
// and the large size classes.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_DUMP_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_DUMP_H_

#include <cstddef>
#include <cstdint>

#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_table.h"
#include "allocator/telemetry/stats_snapshot.h"

namespace spanmalloc {

// jemalloc's facts about a build, as they are for this one: mallctl's config.*.
struct BuildFact {
  char name[20];
  bool value;
};
#ifdef NDEBUG
inline constexpr bool kDebugBuild = false;
#else
inline constexpr bool kDebugBuild = true;
#endif
inline constexpr BuildFact kBuildFacts[] = {
    {"cache_oblivious", false}, {"debug", kDebugBuild},      {"fill", false},
    {"lazy_lock", false},       {"opt_safety_checks", true}, {"prof", false},
    {"prof_libgcc", false},     {"prof_libunwind", false},   {"stats", true},
    {"utrace", false},          {"xmalloc", false},          {"prof_frameptr", false},
};

// The large size classes: bounds by which blocks above kMaxClassSize are told apart, four to a
// doubling as among the smaller ones. (A large block itself is a whole number of pages.)
inline constexpr size_t kLargeClasses = static_cast<size_t>(4) * (kWindowShift - 18);
static_assert(size_t{1} << 18 == kMaxClassSize);

constexpr size_t LargeClassSize(size_t index) {
  return (kMaxClassSize + (index % 4 + 1) * (kMaxClassSize / 4)) << (index / 4);
}
static_assert(LargeClassSize(0) == 320 * 1024);
static_assert(LargeClassSize(kLargeClasses - 1) == kWindowSize);

// Bytes mapped and not retained: the program's pages, free pages that may be resident, and the
// allocator's own. At least StatsSnapshot::resident().
inline size_t MappedBytes(const StatsSnapshot& snapshot) {
  return snapshot.mapped() - snapshot.retained();
}

// The allocator's own structures, but for the page map.
inline size_t MetadataOutsidePageMap(const StatsSnapshot& snapshot) {
  return snapshot.metadata() - snapshot.page_map;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_DUMP_H_

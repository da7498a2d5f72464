// SPDX-License-Identifier: Apache-2.0
//
// Facts that mallctl and the statistics dump tell beside the numbers: how the library was built,
// and the large size classes.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_DUMP_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_DUMP_H_

#include <cstddef>
#include <cstdint>

#include "allocator/params/large_classes.h"
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

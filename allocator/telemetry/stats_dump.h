// SPDX-License-Identifier: Apache-2.0
//
// What a dump of the statistics prints: the numbers of one epoch and the facts beside them, and
// which parts of them are wanted. control/stats_print fills it in; stats_text and stats_json print
// it.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_DUMP_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_DUMP_H_

#include <cstddef>
#include <cstdint>

#include "allocator/params/options.h"
#include "allocator/telemetry/resident_memory.h"

namespace spanmalloc {

// malloc_stats_print's letters: J asks for JSON, the others leave a part out.
struct StatsParts {
  bool json = false;
  bool general = true;  // g: version, options, size classes
  bool merged = true;   // m: all arenas together
  bool arenas = true;   // a: each arena
  bool bins = true;     // b: each size class
  bool large = true;    // l: large size classes

  // The letters of parts that aren't printed anyway, and unknown ones, change nothing. `letters`
  // may be nullptr.
  static StatsParts From(const char* letters) {
    StatsParts parts;
    for (; letters != nullptr && *letters != '\0'; ++letters) {
      switch (*letters) {
        case 'J':
          parts.json = true;
          break;
        case 'g':
          parts.general = false;
          break;
        case 'm':
          parts.merged = false;
          break;
        case 'a':
          parts.arenas = false;
          break;
        case 'b':
          parts.bins = false;
          break;
        case 'l':
          parts.large = false;
          break;
        default:
          break;
      }
    }
    return parts;
  }
};

struct StatsDump {
  const StatsSnapshot& snapshot;
  const RssTable& rss;
  const Options& options;
  const char* version;
  const char* cpu_source;  // where the CPU number comes from
  uint64_t uptime_ns;
  int64_t dirty_decay_ms;
  int64_t muzzy_decay_ms;
  int64_t default_dirty_decay_ms;
  int64_t default_muzzy_decay_ms;
  uint64_t zero_reallocs;
  unsigned arenas;
};

// jemalloc's facts about a build, as they are for this one: mallctl's config.*, and both dumps.
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
    {"utrace", false},          {"xmalloc", false},
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

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_DUMP_H_

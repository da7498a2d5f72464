// SPDX-License-Identifier: Apache-2.0
//
// Which form of the statistics malloc_stats_print prints, and which parts of them.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_STATS_PARTS_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_STATS_PARTS_H_

#include <cstdint>
#include <string_view>

namespace spanmalloc {

enum class StatsForm : uint8_t { kText, kJson, kOpenMetrics };

// The letters: J and O ask for a form, c for a part, the others leave a part out.
struct StatsParts {
  StatsForm form = StatsForm::kText;
  bool general = true;     // g: version, options, size classes
  bool merged = true;      // m: all arenas together
  bool destroyed = true;   // d: the arenas that were destroyed, together
  bool arenas = true;      // a: each arena
  bool bins = true;        // b: each size class
  bool large = true;       // l: each large size class
  bool mutexes = true;     // x: locks
  bool extents = true;     // e: free runs of pages
  bool huge_pages = true;  // h: huge pages
  bool caches = false;     // c: each CPU's lists; and caches by size class

  // Other letters change nothing. `letters` may be nullptr.
  static StatsParts From(const char* letters) {
    StatsParts parts;
    for (; letters != nullptr && *letters != '\0'; ++letters) parts.Take(*letters);
    return parts;
  }

  // Whether what the table has under a component of that name is wanted.
  bool Wants(std::string_view component) const {
    if (component == "bins" || component == "bin") return bins;
    if (component == "lextents" || component == "lextent") return large;
    if (component == "mutexes" || component == "mutex" || component == "locks" ||
        component == "lock") {
      return mutexes;
    }
    if (component == "extents") return extents;
    if (component == "hpa_shard" || component == "huge_pages") return huge_pages;
    if (component == "cpus") return caches;
    if (component == "classes") return caches && bins;
    return true;
  }

 private:
  void Take(char letter) {
    switch (letter) {
      case 'J':
        form = StatsForm::kJson;
        break;
      case 'O':
        form = StatsForm::kOpenMetrics;
        break;
      case 'g':
        general = false;
        break;
      case 'm':
        merged = false;
        break;
      case 'd':
        destroyed = false;
        break;
      case 'a':
        arenas = false;
        break;
      case 'b':
        bins = false;
        break;
      case 'l':
        large = false;
        break;
      case 'x':
        mutexes = false;
        break;
      case 'e':
        extents = false;
        break;
      case 'h':
        huge_pages = false;
        break;
      case 'c':
        caches = true;
        break;
      default:
        break;
    }
  }
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_STATS_PARTS_H_

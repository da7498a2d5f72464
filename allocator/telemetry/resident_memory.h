// SPDX-License-Identifier: Apache-2.0
//
// Where the resident memory of the process is: a table whose rows add up to it. What the kernel
// has behind the heap's pages is measured; what the pages are used for comes from a snapshot of
// the statistics; the rest of the process is what is left.
//
// Measuring asks the kernel about every page of the heap, so it is done for a dump and for whoever
// reads spanmalloc.rss.*, not for every epoch. The control floor calls it.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_RESIDENT_MEMORY_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_RESIDENT_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "allocator/telemetry/stats_snapshot.h"

namespace spanmalloc {

// The rows, in the order in which they are printed. kProcess is the sum of all others.
enum class RssRow : uint8_t {
  kSmallLive,
  kThreadCaches,
  kCpuLists,
  kSpanFree,
  kSpanEnds,
  kSmallAbsent,
  kLargeLive,
  kLargeAbsent,
  kFreePages,
  kRegions,
  kMetadata,
  kLibrary,
  kOutside,
  kProcess,
};
inline constexpr size_t kRssRows = static_cast<size_t>(RssRow::kProcess) + 1;

struct RssRowText {
  char key[16];    // in mallctl's names and in JSON
  char label[48];  // in the text
};
inline constexpr RssRowText kRssRowTexts[kRssRows] = {
    {"small_live", "held by the program, small blocks"},
    {"thread_caches", "free in thread caches"},
    {"cpu_lists", "free in the CPUs' lists"},
    {"span_free", "free in spans that are partly used"},
    {"span_ends", "ends of spans, too short for a block"},
    {"small_absent", "  of the above never written, or given back"},
    {"large_live", "held by the program, large blocks"},
    {"large_absent", "  of that never written, or room to grow"},
    {"free_pages", "free pages"},
    {"regions", "the program's regions"},
    {"metadata", "the allocator's own structures"},
    {"library", "the library's file"},
    {"outside", "not the allocator's"},
    {"process", "resident memory of the process"},
};

struct RssTable {
  int64_t bytes[kRssRows] = {};

  int64_t operator[](RssRow row) const { return bytes[static_cast<size_t>(row)]; }
  int64_t& operator[](RssRow row) { return bytes[static_cast<size_t>(row)]; }
};

// Measures, and sorts what was measured by `snapshot`, which was taken just before. Where the
// kernel doesn't tell the process's resident memory, nothing counts as outside.
RssTable MeasureRss(const StatsSources& sources, const StatsSnapshot& snapshot);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_RESIDENT_MEMORY_H_

// SPDX-License-Identifier: Apache-2.0
//
// How the statistics dump gets its numbers: out of mallctl's table, so that a dump and mallctl
// can't differ, and a name that is added there is printed. stats_text, stats_json and
// stats_open_metrics print through it. The numbers are those of one state; belongs to one call of
// the dump.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_STATS_READER_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_STATS_READER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "allocator/control/ctl_table.h"
#include "allocator/control/mallctl.h"
#include "allocator/control/stats_parts.h"

namespace spanmalloc {

// What stands for the first and the second index of a name.
using CtlIndices = size_t[2];

class StatsReader {
 public:
  // nullptr: the state at the moment of each reading.
  StatsReader(Control& control, ControlState* state) : control_(control), state_(state) {}
  StatsReader(const StatsReader&) = delete;
  StatsReader& operator=(const StatsReader&) = delete;

  // The row of a name, with <i> and so on as in names.def; CtlRowCount() if there is none.
  static size_t RowOf(std::string_view name);

  // One past the last row from `row` on that shares its first `depth` components.
  static size_t GroupEnd(size_t row, size_t depth);

  // Whether what stands below two components is no list of the names themselves.
  static bool IsWanted(std::string_view top, std::string_view part);

  // Whether a row holds a value that can be printed.
  static bool IsPrintable(size_t row);

  // False if the name has no value there.
  bool Read(size_t row, const CtlIndices& indices, CtlValue* value) const {
    return row < CtlRowCount() && ReadCtlRow(control_, state_, row, indices, value) == 0;
  }

  // 0 if the name is unknown or has no value there.
  uint64_t Number(std::string_view name, const CtlIndices& indices = {}) const;
  // nullptr likewise.
  const char* String(std::string_view name, const CtlIndices& indices = {}) const;

  // Whether `index` may stand at component `d` of a row.
  bool IndexExists(size_t row, size_t d, size_t index) const {
    return CtlIndexExists(control_.target(), row, d, index);
  }

  // Calls use(index) for every arena there is; use(kAllArenas), use(kDestroyedArenas) for those
  // together: in the order, and in the cases, in which jemalloc prints them.
  template <typename Use>
  void ForArenas(const StatsParts& parts, Use use) const {
    const auto count = static_cast<size_t>(Number("arenas.narenas"));
    size_t initialized = 0;
    for (size_t i = 0; i < count; ++i) initialized += HasArena(i);
    // One arena's own numbers stand for the sum.
    if (parts.merged && (initialized > 1 || !parts.arenas)) use(kAllArenas);
    if (parts.destroyed && HasArena(kDestroyedArenas)) use(kDestroyedArenas);
    for (size_t i = 0; parts.arenas && i < count; ++i) {
      if (HasArena(i)) use(i);
    }
  }

 private:
  bool HasArena(size_t index) const;

  Control& control_;
  ControlState* const state_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_STATS_READER_H_

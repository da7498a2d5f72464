// SPDX-License-Identifier: Apache-2.0
//
// Columns of the text tables: numbers of mallctl's table beside each other, each with its rate if
// it counts something. A number that the table doesn't have has no column. Used by stats_text.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_STATS_COLUMNS_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_STATS_COLUMNS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "allocator/control/stats_reader.h"
#include "allocator/telemetry/stats_writer.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {

// Texts in place, and not pointers, which the dynamic linker would have to relocate.
struct StatsColumn {
  char heading[16];
  char name[18];  // the last part of the name
  uint8_t width;
  bool rate;
};

// A number, and how many that is per second of `uptime_ns`.
inline void PutCountAndRate(StatsWriter& out, uint64_t count, size_t width, uint64_t uptime_ns) {
  const uint64_t seconds = uptime_ns / 1'000'000'000;
  out.Column(count, width).Column(seconds == 0 ? count : count / seconds, 9);
}

class StatsColumns {
 public:
  static constexpr size_t kMaxColumns = 8;

  // The columns whose name follows `prefix` in the table.
  StatsColumns(std::string_view prefix, std::span<const StatsColumn> columns) : columns_(columns) {
    for (size_t i = 0; i < columns.size(); ++i) {
      char storage[96];
      TextBuffer name(storage, sizeof(storage));
      name << prefix << columns[i].name;
      rows_[i] = StatsReader::RowOf(name.text());
    }
  }

  void PutHeadings(StatsWriter& out) const {
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (rows_[i] == CtlRowCount()) continue;
      out.Column(columns_[i].heading, columns_[i].width);
      if (columns_[i].rate) out.Column("(#/sec)", 9);
    }
  }

  void PutNumbers(const StatsReader& reader, const CtlIndices& indices, uint64_t uptime_ns,
                  StatsWriter& out) const {
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (rows_[i] == CtlRowCount()) continue;
      const uint64_t number = Number(reader, i, indices);
      if (columns_[i].rate) {
        PutCountAndRate(out, number, columns_[i].width, uptime_ns);
      } else {
        out.Column(number, columns_[i].width);
      }
    }
  }

  // Of column `i`; 0 if it has no value there.
  uint64_t Number(const StatsReader& reader, size_t i, const CtlIndices& indices) const {
    CtlValue value;
    return reader.Read(rows_[i], indices, &value) ? value.number : 0;
  }

  // As PutNumbers, of the sums of this and `other`, which has the same columns.
  void PutSums(const StatsColumns& other, const StatsReader& reader, const CtlIndices& indices,
               uint64_t uptime_ns, StatsWriter& out) const {
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (rows_[i] == CtlRowCount()) continue;
      const uint64_t sum = Number(reader, i, indices) + other.Number(reader, i, indices);
      if (columns_[i].rate) {
        PutCountAndRate(out, sum, columns_[i].width, uptime_ns);
      } else {
        out.Column(sum, columns_[i].width);
      }
    }
  }

 private:
  const std::span<const StatsColumn> columns_;
  size_t rows_[kMaxColumns] = {};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_STATS_COLUMNS_H_

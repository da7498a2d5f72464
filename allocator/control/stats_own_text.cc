// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/stats_own_text.h"

#include "allocator/control/stats_columns.h"
#include "allocator/telemetry/resident_memory.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

void PrintLabel(std::string_view label, StatsWriter& out) {
  out << "  " << label;
  for (size_t i = label.size(); i < 44; ++i) out << " ";
}

// Bytes, and the same in MiB.
void PrintBytes(int64_t bytes, StatsWriter& out) {
  const uint64_t size = static_cast<uint64_t>(bytes < 0 ? -bytes : bytes);
  out << (bytes < 0 ? "-" : " ");
  out.Column(size, 14) << " bytes" << (bytes < 0 ? "  -" : "   ");
  out.Fraction(size / 1024 * 1000 / 1024, 10) << " MiB\n";
}

void PrintResidentMemory(const StatsReader& reader, StatsWriter& out) {
  out << "spanmalloc: where the resident memory is (the last row is the sum)\n";
  for (const RssRowText& row : kRssRowTexts) {
    char storage[64];
    TextBuffer name(storage, sizeof(storage));
    name << "spanmalloc.rss." << row.key;
    PrintLabel(row.label, out);
    PrintBytes(static_cast<int64_t>(reader.Number(name.text())), out);
  }
}

void PrintRow(size_t row, const CtlValue& value, StatsWriter& out) {
  const CtlRow facts = CtlRowAt(row);
  const std::string_view unit = facts.unit;
  PrintLabel(facts.name, out);
  if (facts.type == CtlType::kString) {
    out << "  " << (value.string == nullptr ? "" : value.string) << "\n";
  } else if (unit == "bytes") {
    PrintBytes(static_cast<int64_t>(value.number), out);
  } else {
    out.Column(value.number, 15) << " " << unit << "\n";
  }
}

void PrintHugePages(const StatsReader& reader, const StatsParts& parts, StatsWriter& out) {
  static constexpr StatsColumn kColumns[] = {
      {"mapped", "mapped", 10, false},   {"cut", "cut", 10, false},
      {"dense", "dense", 10, false},     {"sparse", "sparse", 10, false},
      {"large", "large", 10, false},     {"free", "free", 10, false},
      {"advised", "advised", 10, false}, {"backed bytes", "backed", 16, false},
  };
  const StatsColumns columns("spanmalloc.arenas.<i>.huge_pages.", kColumns);
  out << "spanmalloc: huge pages\n";
  out.Column("arena", 14);
  columns.PutHeadings(out);
  out << "\n";
  reader.ForArenas(parts, [&](size_t arena) {
    if (arena == kAllArenas || arena == kDestroyedArenas) {
      out.Column(arena == kAllArenas ? "all" : "destroyed", 14);
    } else {
      out.Column(arena, 14);
    }
    columns.PutNumbers(reader, {arena}, 0, out);
    out << "\n";
  });
}

void PrintCpus(const StatsReader& reader, const StatsParts& parts, StatsWriter& out) {
  static constexpr StatsColumn kColumns[] = {
      {"objects", "objects", 10, false},         {"bytes", "bytes", 14, false},
      {"free in spans", "span_free", 14, false}, {"fills", "fills", 12, false},
      {"away", "fills_away", 12, false},         {"new spans", "spans_made", 12, false},
      {"flushes", "flushes", 12, false},         {"spills", "spills", 12, false},
  };
  static constexpr StatsColumn kLockColumns[] = {
      {"locks", "num_ops", 12, false},
      {"spun", "num_spin_acq", 10, false},
      {"slept", "num_wait", 10, false},
  };
  const StatsColumns columns("spanmalloc.cpus.<s>.", kColumns);
  const StatsColumns locks("spanmalloc.cpus.<s>.lock.", kLockColumns);
  const size_t row = StatsReader::RowOf("spanmalloc.cpus.<s>.objects");
  out << "spanmalloc: the CPUs' lists\n";
  out.Column("CPU", 14);
  columns.PutHeadings(out);
  if (parts.mutexes) locks.PutHeadings(out);
  out << "\n";
  for (size_t cpu = 0; reader.IndexExists(row, 2, cpu); ++cpu) {
    out.Column(cpu, 14);
    columns.PutNumbers(reader, {cpu}, 0, out);
    if (parts.mutexes) locks.PutNumbers(reader, {cpu}, 0, out);
    out << "\n";
  }
}

// The threads' caches, by size class.
void PrintThreadCaches(const StatsReader& reader, StatsWriter& out) {
  static constexpr StatsColumn kColumns[] = {
      {"objects", "objects", 10, false},
      {"bytes", "bytes", 14, false},
      {"limit", "limit", 10, false},
      {"limit bytes", "limit_bytes", 14, false},
  };
  const StatsColumns columns("spanmalloc.thread_caches.classes.<j>.", kColumns);
  out << "spanmalloc: thread caches\n";
  out.Column("size", 14);
  columns.PutHeadings(out);
  out << "\n";
  for (size_t j = 0; j < kSizeClasses; ++j) {
    if (columns.Number(reader, 2, {j}) == 0) continue;
    out.Column(reader.Number("arenas.bin.<j>.size", {j}), 14);
    columns.PutNumbers(reader, {j}, 0, out);
    out << "\n";
  }
}

}  // namespace

void PrintOwnText(const StatsReader& reader, const StatsParts& parts, StatsWriter& out) {
  PrintResidentMemory(reader, out);
  if (parts.huge_pages) PrintHugePages(reader, parts, out);
  if (parts.caches) PrintCpus(reader, parts, out);
  if (parts.caches && parts.bins) PrintThreadCaches(reader, out);
  out << "spanmalloc: the other numbers, by mallctl's names\n";
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    const CtlPath path = CtlPathAt(row);
    CtlValue value;
    if (path.Part(0) != "spanmalloc" || path.Part(1) == "rss") continue;
    if (!parts.Wants(path.Part(1))) continue;
    bool indexed = false;
    for (size_t d = 1; d < path.depth; ++d) indexed |= path.IsIndex(d);
    if (indexed || !StatsReader::IsPrintable(row) || !reader.Read(row, {}, &value)) continue;
    PrintRow(row, value, out);
  }
}

}  // namespace spanmalloc

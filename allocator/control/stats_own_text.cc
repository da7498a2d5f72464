// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/stats_own_text.h"

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

}  // namespace

void PrintOwnText(const StatsReader& reader, const StatsParts& parts, StatsWriter& out) {
  PrintResidentMemory(reader, out);
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

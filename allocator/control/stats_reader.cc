// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/stats_reader.h"

namespace spanmalloc {

size_t StatsReader::RowOf(std::string_view name) {
  size_t row = 0;
  while (row < CtlRowCount() && CtlRowAt(row).name != name) ++row;
  return row;
}

size_t StatsReader::GroupEnd(size_t row, size_t depth) {
  const size_t number = CtlPathAt(row).numbers[depth - 1];
  for (++row; row < CtlRowCount(); ++row) {
    const CtlPath path = CtlPathAt(row);
    if (path.depth < depth || path.numbers[depth - 1] != number) break;
  }
  return row;
}

bool StatsReader::IsWanted(std::string_view top, std::string_view part) {
  return top != "spanmalloc" || !part.starts_with("name");
}

bool StatsReader::IsPrintable(size_t row) {
  const CtlRow facts = CtlRowAt(row);
  const CtlPath path = CtlPathAt(row);
  if (path.depth > 1 && !IsWanted(path.Part(0), path.Part(1))) return false;
  if (facts.access != CtlAccess::kRead && facts.access != CtlAccess::kReadWrite &&
      facts.access != CtlAccess::kReadOff) {
    return false;
  }
  switch (facts.type) {
    case CtlType::kBool:
    case CtlType::kUnsigned:
    case CtlType::kUint64:
    case CtlType::kSize:
    case CtlType::kSigned:
    case CtlType::kString:
      return true;
    default:
      return false;
  }
}

uint64_t StatsReader::Number(std::string_view name, const CtlIndices& indices) const {
  CtlValue value;
  return Read(RowOf(name), indices, &value) ? value.number : 0;
}

const char* StatsReader::String(std::string_view name, const CtlIndices& indices) const {
  CtlValue value;
  return Read(RowOf(name), indices, &value) ? value.string : nullptr;
}

// Whether there is such an arena, and statistics of it.
bool StatsReader::HasArena(size_t index) const {
  static constexpr std::string_view kOneOfThem = "stats.arenas.<i>.nthreads";
  CtlValue value;
  return Number("arena.<i>.initialized", {index}) != 0 && Read(RowOf(kOneOfThem), {index}, &value);
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/ctl_table.h"

#include "allocator/control/ctl_handlers.h"

namespace spanmalloc {
namespace {

constexpr CtlType CtlTypeOf(OptionKind kind) {
  switch (kind) {
    case OptionKind::kBool:
      return CtlType::kBool;
    case OptionKind::kSigned:
      return CtlType::kSigned;
    case OptionKind::kUnsigned:
      return CtlType::kUnsigned;
    case OptionKind::kSize:
      return CtlType::kSize;
    case OptionKind::kChoice:
    case OptionKind::kLetters:
      return CtlType::kString;
  }
  return CtlType::kNone;
}

using enum CtlType;
using enum CtlAccess;

constexpr CtlRow kRows[] = {
#define NAME(name, type, access, unit, handler, help) {name, type, access, unit, handler, help},
#include "allocator/control/names.def"
#undef NAME
};

constexpr char kNames[] =
#define NAME(name, type, access, unit, handler, help) name "\n"
#include "allocator/control/names.def"
#undef NAME
    ;

constexpr size_t kRowCount = sizeof(kRows) / sizeof(kRows[0]);

struct PathTable {
  CtlPath paths[kRowCount];
};

constexpr CtlPath SplitName(std::string_view name) {
  CtlPath path = {.name = name};
  size_t begin = 0;
  for (size_t i = 0; i <= name.size(); ++i) {
    if (i < name.size() && name[i] != '.') continue;
    path.begins[path.depth] = static_cast<uint8_t>(begin);
    path.sizes[path.depth++] = static_cast<uint8_t>(i - begin);
    begin = i + 1;
  }
  return path;
}

// Rows that share the start of their names stand together, so a component either continues the
// row before or begins there.
constexpr PathTable MakePaths() {
  PathTable table;
  for (size_t row = 0; row < kRowCount; ++row) {
    CtlPath path = SplitName(kRows[row].name);
    bool shared = row > 0;
    for (size_t d = 0; d < path.depth; ++d) {
      const CtlPath& above = table.paths[row > 0 ? row - 1 : 0];
      shared = shared && d < above.depth && path.Part(d) == above.Part(d);
      path.numbers[d] = shared ? above.numbers[d] : static_cast<uint16_t>(row);
    }
    table.paths[row] = path;
  }
  return table;
}

constexpr PathTable kPaths = MakePaths();

}  // namespace

size_t CtlRowCount() { return kRowCount; }
const CtlRow& CtlRowAt(size_t row) { return kRows[row]; }
const CtlPath& CtlPathAt(size_t row) { return kPaths.paths[row]; }
const char* CtlNames() { return kNames; }

}  // namespace spanmalloc

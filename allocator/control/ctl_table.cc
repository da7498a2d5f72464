// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/ctl_table.h"

#include <errno.h>

#include <array>

#include "allocator/control/ctl_handlers.h"
#include "allocator/util/packed_texts.h"

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
    case OptionKind::kSpanLengths:
    case OptionKind::kText:
      return CtlType::kString;
  }
  return CtlType::kNone;
}

using enum CtlType;
using enum CtlAccess;

// The texts of all rows, one after the other.
constexpr char kNames[] =
#define NAME(name, type, access, unit, handler, help) name "\n"
#include "allocator/control/names.def"
#undef NAME
    ;
constexpr char kUnits[] =
#define NAME(name, type, access, unit, handler, help) unit "\0"
#include "allocator/control/names.def"
#undef NAME
    ;
constexpr char kHelps[] =
#define NAME(name, type, access, unit, handler, help) help "\0"
#include "allocator/control/names.def"
#undef NAME
    ;

// A row without its texts.
struct PackedRow {
  CtlType type;
  CtlAccess access;
  CtlComponents components = {};
};

constexpr PackedRow kBareRows[] = {
#define NAME(name, type, access, unit, handler, help) {type, access},
#include "allocator/control/names.def"
#undef NAME
};

constexpr size_t kRowCount = sizeof(kBareRows) / sizeof(kBareRows[0]);

constexpr auto kNameStarts = TextStarts<kRowCount>(kNames, '\n');
constexpr auto kUnitStarts = TextStarts<kRowCount>(kUnits, '\0');
constexpr auto kHelpStarts = TextStarts<kRowCount>(kHelps, '\0');

constexpr std::string_view NameAt(size_t row) { return TextAt(kNames, kNameStarts, row); }

constexpr CtlComponents SplitName(std::string_view name) {
  CtlComponents components;
  size_t begin = 0;
  for (size_t i = 0; i <= name.size(); ++i) {
    if (i < name.size() && name[i] != '.') continue;
    components.begins[components.depth] = static_cast<uint8_t>(begin);
    components.sizes[components.depth++] = static_cast<uint8_t>(i - begin);
    begin = i + 1;
  }
  return components;
}

// Rows that share the start of their names stand together, so a component either continues the
// row before or begins there.
constexpr std::array<PackedRow, kRowCount> MakeRows() {
  std::array<PackedRow, kRowCount> rows = {};
  CtlPath above;
  for (size_t row = 0; row < kRowCount; ++row) {
    CtlPath path = {SplitName(NameAt(row)), NameAt(row)};
    bool shared = row > 0;
    for (size_t d = 0; d < path.depth; ++d) {
      shared = shared && d < above.depth && path.Part(d) == above.Part(d);
      path.numbers[d] = shared ? above.numbers[d] : static_cast<uint16_t>(row);
    }
    rows[row] = {kBareRows[row].type, kBareRows[row].access, path};
    above = path;
  }
  return rows;
}

constexpr std::array<PackedRow, kRowCount> kRows = MakeRows();

// The number of the first case in CtlHandle.
constexpr int kFirstCase = __COUNTER__ + 1;

}  // namespace

size_t CtlRowCount() { return kRowCount; }

CtlRow CtlRowAt(size_t row) {
  return {NameAt(row), kRows[row].type, kRows[row].access, TextAt(kUnits, kUnitStarts, row).data(),
          TextAt(kHelps, kHelpStarts, row).data()};
}

CtlPath CtlPathAt(size_t row) { return {kRows[row].components, NameAt(row)}; }

int CtlHandle(size_t row, const CtlCall& call) {
  switch (row) {
#define NAME(name, type, access, unit, handler, help) \
  case __COUNTER__ - kFirstCase:                      \
    return handler(call);
#include "allocator/control/names.def"
#undef NAME
  }
  return ENOENT;
}

const char* CtlTypeText(CtlType type) {
  static constexpr char kTexts[][4] = {"", "b", "u", "u64", "z", "s", "str", "p"};
  return kTexts[static_cast<size_t>(type)];
}

const char* CtlAccessText(CtlAccess access) {
  static constexpr char kTexts[][7] = {"r", "rw", "rw", "w", "w", "r",  "absent",
                                       "-", "-",  "r",  "r", "r", "rw", "rw"};
  return kTexts[static_cast<size_t>(access)];
}

const char* CtlNames() { return kNames; }

}  // namespace spanmalloc

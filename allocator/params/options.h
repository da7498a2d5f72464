// SPDX-License-Identifier: Apache-2.0
//
// The options as plain data, made from the table in options.def, and the parser of
// `name:value,name:value`. Allocates nothing and knows no source of options: control/load_options
// reads those, once, before the heap is used; from then on an Options is only read.
#ifndef SPANMALLOC_ALLOCATOR_PARAMS_OPTIONS_H_
#define SPANMALLOC_ALLOCATOR_PARAMS_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "allocator/params/size_class_table.h"

namespace spanmalloc {

enum class OptionKind : uint8_t {
  kBool,
  kSigned,
  kUnsigned,
  kSize,
  kChoice,
  kLetters,
  kSpanLengths,
  kText
};

enum class OptionEffect : uint8_t { kActs, kIgnored, kFixed };

// A text of limited length, NUL-terminated.
template <size_t kLimit>
struct OptionText {
  static constexpr size_t kMaxSize = kLimit;
  char text[kMaxSize + 1];
};
using OptionLetters = OptionText<31>;
using OptionSpanLengths = OptionText<255>;

namespace options_internal {

template <OptionKind kKind>
struct FieldOf;
template <>
struct FieldOf<OptionKind::kBool> {
  using Type = bool;
};
template <>
struct FieldOf<OptionKind::kSigned> {
  using Type = int64_t;
};
template <>
struct FieldOf<OptionKind::kUnsigned> {
  using Type = uint32_t;
};
template <>
struct FieldOf<OptionKind::kSize> {
  using Type = size_t;
};
// One of the strings in the table.
template <>
struct FieldOf<OptionKind::kChoice> {
  using Type = const char*;
};
// Any text; only options that change nothing have it, so that nobody need keep it.
template <>
struct FieldOf<OptionKind::kText> {
  using Type = const char*;
};
template <>
struct FieldOf<OptionKind::kLetters> {
  using Type = OptionLetters;
};
template <>
struct FieldOf<OptionKind::kSpanLengths> {
  using Type = OptionSpanLengths;
};

}  // namespace options_internal

// The longest decay time, as jemalloc's: some 584 years.
inline constexpr int64_t kMaxDecayMs = 18'446'744'072'000;

struct Options {
#define OPTION(name, kind, default_value, bounds, effect, help) \
  options_internal::FieldOf<OptionKind::kind>::Type name = {default_value};
#include "allocator/params/options.def"
#undef OPTION
};

// The table's rows as text, for documentation and dumps.
struct OptionInfo {
  const char* name;
  OptionKind kind;
  OptionEffect effect;
  const char* help;
};

// A field's value: `text` for choices, letters and texts, else `number`.
struct OptionValue {
  int64_t number;
  const char* text;
};

// The rows are numbered from 0 in the table's order.
size_t OptionCount();
OptionInfo OptionAt(size_t row);
OptionValue ValueOf(const Options& options, size_t row);

// Writes the values that an option takes, as its documentation and error messages name them, into
// `out`. Returns how many characters; at most `capacity`.
size_t DescribeBounds(size_t row, char* out, size_t capacity);

// Sets `options` from `text`. Every pair that is unknown, malformed or out of bounds is skipped
// and told to `report` in one line (with its newline); `source` names where the text came from.
// Returns whether there was none. abort_conf and confirm_conf hold for the whole text.
bool ParseOptions(std::string_view text, std::string_view source, Options* options,
                  void (*report)(std::string_view line));

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PARAMS_OPTIONS_H_

// SPDX-License-Identifier: Apache-2.0
#include "allocator/params/options.h"

#include <algorithm>

#include "allocator/params/span_shapes.h"
#include "allocator/util/packed_texts.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

constexpr size_t kMaxChoices = 4;
constexpr size_t kMaxChoiceSize = 11;
constexpr int64_t kNoUpperBound = INT64_MAX;

struct Bounds {
  int64_t lowest = 0;
  int64_t highest = 0;
  char choices[kMaxChoices][kMaxChoiceSize + 1] = {};
};

constexpr Bounds Any() { return {}; }
constexpr Bounds Between(int64_t lowest, int64_t highest) { return {lowest, highest, {}}; }
template <size_t... kSizes>
constexpr Bounds OneOf(const char (&... choices)[kSizes]) {
  Bounds bounds;
  size_t i = 0;
  (std::copy_n(choices, kSizes, bounds.choices[i++]), ...);
  return bounds;
}

constexpr Bounds kBounds[] = {
#define OPTION(name, kind, default_value, bounds, effect, help) bounds,
#include "allocator/params/options.def"
#undef OPTION
};

constexpr size_t kRowCount = sizeof(kBounds) / sizeof(kBounds[0]);

constexpr OptionKind kKinds[] = {
#define OPTION(name, kind, default_value, bounds, effect, help) OptionKind::kind,
#include "allocator/params/options.def"
#undef OPTION
};

constexpr OptionEffect kEffects[] = {
#define OPTION(name, kind, default_value, bounds, effect, help) OptionEffect::effect,
#include "allocator/params/options.def"
#undef OPTION
};

constexpr bool TextsChangeNothing() {
  for (size_t row = 0; row < kRowCount; ++row) {
    if (kKinds[row] == OptionKind::kText && kEffects[row] != OptionEffect::kIgnored) return false;
  }
  return true;
}
static_assert(TextsChangeNothing());

constexpr char kNames[] =
#define OPTION(name, kind, default_value, bounds, effect, help) #name "\0"
#include "allocator/params/options.def"
#undef OPTION
    ;
constexpr char kHelps[] =
#define OPTION(name, kind, default_value, bounds, effect, help) help "\0"
#include "allocator/params/options.def"
#undef OPTION
    ;

constexpr auto kNameStarts = TextStarts<kRowCount>(kNames, '\0');
constexpr auto kHelpStarts = TextStarts<kRowCount>(kHelps, '\0');

enum class PairFault : uint8_t { kNone, kUnknown, kMalformed, kBadValue, kNotSupported };

// Each ParseValue sets `*field` to what `text` says, or leaves it and returns false.

bool ParseValue(std::string_view text, const Bounds&, bool* field) {
  if (text != "true" && text != "false") return false;
  *field = text == "true";
  return true;
}

bool ParseNumber(std::string_view text, const Bounds& bounds, int64_t* number) {
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty()) return false;
  int64_t magnitude = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    if (__builtin_mul_overflow(magnitude, 10, &magnitude) ||
        __builtin_add_overflow(magnitude, c - '0', &magnitude)) {
      return false;
    }
  }
  *number = negative ? -magnitude : magnitude;
  return *number >= bounds.lowest && *number <= bounds.highest;
}

template <typename Number>
bool ParseValue(std::string_view text, const Bounds& bounds, Number* field) {
  int64_t number = 0;
  if (!ParseNumber(text, bounds, &number)) return false;
  *field = static_cast<Number>(number);
  return true;
}

bool ParseValue(std::string_view text, const Bounds& bounds, const char** field) {
  if (bounds.choices[0][0] == '\0') return true;  // kText
  for (const char* choice : bounds.choices) {
    if (choice[0] != '\0' && text == choice) {
      *field = choice;
      return true;
    }
  }
  return false;
}

template <size_t kLimit>
bool CopyText(std::string_view text, OptionText<kLimit>* field) {
  if (text.size() > kLimit) return false;
  std::copy(text.begin(), text.end(), field->text);
  field->text[text.size()] = '\0';
  return true;
}

bool ParseValue(std::string_view text, const Bounds&, OptionSpanLengths* field) {
  return IsSpanLengths(text) && CopyText(text, field);
}

bool ParseValue(std::string_view text, const Bounds&, OptionLetters* field) {
  for (const char c : text) {
    if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z')) return false;
  }
  return CopyText(text, field);
}

bool Same(const char* a, const char* b) { return std::string_view(a) == b; }
template <size_t kLimit>
bool Same(const OptionText<kLimit>& a, const OptionText<kLimit>& b) {
  return Same(a.text, b.text);
}
template <typename Number>
bool Same(Number a, Number b) {
  return a == b;
}

template <typename Field>
PairFault SetField(std::string_view text, const Bounds& bounds, OptionEffect effect, Field* field) {
  Field value = *field;
  if (!ParseValue(text, bounds, &value)) return PairFault::kBadValue;
  if (effect == OptionEffect::kActs) *field = value;
  if (effect == OptionEffect::kFixed && !Same(value, *field)) return PairFault::kNotSupported;
  return PairFault::kNone;
}

PairFault SetOption(std::string_view name, std::string_view value, Options* options) {
  size_t row = 0;
#define OPTION(field, kind, default_value, bounds, effect, help)                 \
  if (name == #field) {                                                          \
    return SetField(value, kBounds[row], OptionEffect::effect, &options->field); \
  }                                                                              \
  ++row;
#include "allocator/params/options.def"
#undef OPTION
  return PairFault::kUnknown;
}

// The first `count` characters of `text`. (substr would pull in the C++ runtime's exceptions.)
std::string_view First(std::string_view text, size_t count) {
  return {text.data(), count < text.size() ? count : text.size()};
}

// Takes the text before the next comma off `*text`.
std::string_view NextPair(std::string_view* text) {
  const size_t comma = text->find(',');
  const std::string_view pair = First(*text, comma);
  text->remove_prefix(comma == std::string_view::npos ? text->size() : comma + 1);
  return pair;
}

bool SplitPair(std::string_view pair, std::string_view* name, std::string_view* value) {
  const size_t colon = pair.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  *name = First(pair, colon);
  *value = pair;
  value->remove_prefix(colon + 1);
  return true;
}

void AppendQuoted(TextBuffer& line, std::string_view pair) {
  constexpr size_t kMaxShown = 80;
  line << '"';
  for (const char c : First(pair, kMaxShown)) line << (c >= ' ' && c <= '~' ? c : '?');
  line << (pair.size() > kMaxShown ? "...\"" : "\"");
}

void ReportPair(PairFault fault, std::string_view pair, std::string_view source, bool fatal,
                void (*report)(std::string_view)) {
  char storage[384];
  TextBuffer line(storage, sizeof(storage));
  line << "spanmalloc: ";
  switch (fault) {
    case PairFault::kNone:
      line << "option ";
      break;
    case PairFault::kUnknown:
      line << "unknown option ";
      break;
    case PairFault::kMalformed:
      line << "malformed option ";
      break;
    case PairFault::kBadValue:
      line << "bad value in option ";
      break;
    case PairFault::kNotSupported:
      line << "unsupported option ";
      break;
  }
  AppendQuoted(line, pair);
  line << " in " << First(source, 64);
  if (fault == PairFault::kMalformed) line << ", expected name:value";
  if (fault == PairFault::kBadValue) {
    const std::string_view name = First(pair, pair.find(':'));
    for (size_t row = 0; row < OptionCount(); ++row) {
      if (name != OptionAt(row).name) continue;
      char bounds[96];
      line << ", expected "
           << std::string_view(bounds, DescribeBounds(row, bounds, sizeof(bounds)));
    }
  }
  if (fault != PairFault::kNone) line << (fatal ? " (abort_conf)" : " (ignored)");
  line << '\n';
  report(line.text());
}

}  // namespace

size_t OptionCount() { return kRowCount; }

OptionInfo OptionAt(size_t row) {
  return {TextAt(kNames, kNameStarts, row).data(), kKinds[row], kEffects[row],
          TextAt(kHelps, kHelpStarts, row).data()};
}

namespace {

OptionValue AsValue(const char* text) { return {0, text}; }
template <size_t kLimit>
OptionValue AsValue(const OptionText<kLimit>& text) {
  return {0, text.text};
}
template <typename Number>
OptionValue AsValue(const Number& number) {
  return {static_cast<int64_t>(number), nullptr};
}

}  // namespace

OptionValue ValueOf(const Options& options, size_t row) {
  size_t i = 0;
#define OPTION(field, kind, default_value, bounds, effect, help) \
  if (row == i++) return AsValue(options.field);
#include "allocator/params/options.def"
#undef OPTION
  return {};
}

size_t DescribeBounds(size_t row, char* out, size_t capacity) {
  const Bounds& bounds = kBounds[row];
  TextBuffer text(out, capacity);
  switch (kKinds[row]) {
    case OptionKind::kBool:
      text << "true or false";
      break;
    case OptionKind::kSigned:
    case OptionKind::kUnsigned:
    case OptionKind::kSize:
      if (bounds.highest == kNoUpperBound) {
        text << "at least " << bounds.lowest;
      } else {
        text << bounds.lowest << " to " << bounds.highest;
      }
      break;
    case OptionKind::kChoice:
      for (size_t i = 0; i < kMaxChoices && bounds.choices[i][0] != '\0'; ++i) {
        text << (i == 0                                                     ? ""
                 : i + 1 == kMaxChoices || bounds.choices[i + 1][0] == '\0' ? " or "
                                                                            : ", ")
             << bounds.choices[i];
      }
      break;
    case OptionKind::kText:
      text << "any text";
      break;
    case OptionKind::kLetters:
      text << "up to 31 letters";
      break;
    case OptionKind::kSpanLengths:
      text << "lowest-highest:pages, joined by vertical bars, or default";
      break;
  }
  return text.size();
}

bool ParseOptions(std::string_view text, std::string_view source, Options* options,
                  void (*report)(std::string_view line)) {
  std::string_view name;
  std::string_view value;
  // What is to be done about the other pairs comes first, wherever it stands.
  for (std::string_view rest = text; !rest.empty();) {
    if (SplitPair(NextPair(&rest), &name, &value) &&
        (name == "abort_conf" || name == "confirm_conf")) {
      SetOption(name, value, options);
    }
  }
  bool good = true;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view pair = NextPair(&rest);
    const PairFault fault =
        SplitPair(pair, &name, &value) ? SetOption(name, value, options) : PairFault::kMalformed;
    if (fault != PairFault::kNone) good = false;
    if (fault != PairFault::kNone || options->confirm_conf) {
      ReportPair(fault, pair, source, options->abort_conf, report);
    }
  }
  return good;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/stats_open_metrics.h"

#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

// Whether a number only goes up. 64-bit numbers do, unless they are a state or an extreme.
bool IsCounter(const CtlRow& row) {
  if (row.type != CtlType::kUint64) return row.name == "stats.zero_reallocs";
  return !row.name.ends_with(".run_interval") && !row.name.ends_with(".max_wait_time") &&
         !row.name.ends_with(".uptime");
}

// Milliseconds and nanoseconds are printed as seconds.
std::string_view WithoutUnit(std::string_view part) {
  if (part.ends_with("_ms") || part.ends_with("_ns")) part.remove_suffix(3);
  return part;
}

// Powers of ten by which a unit is smaller than the one that is printed.
struct Unit {
  std::string_view name;  // empty: none that can be told
  int decimals = 0;
};

Unit UnitOf(std::string_view unit) {
  if (unit == "ns") return {"seconds", 9};
  if (unit == "ms") return {"seconds", 3};
  for (const char c : unit) {
    if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != ' ') return {};
  }
  return {unit};
}

// One family: the samples of one row.
class Family {
 public:
  Family(size_t row, const StatsReader& reader, const StatsParts& parts, StatsWriter& out)
      : row_(row),
        facts_(CtlRowAt(row)),
        path_(CtlPathAt(row)),
        unit_(UnitOf(facts_.unit)),
        counter_(IsCounter(facts_)),
        reader_(reader),
        parts_(parts),
        out_(out) {
    MakeName();
  }

  void Print() { PrintFrom(0, 0, ""); }

 private:
  // The unit is the last word, and stands nowhere else.
  void MakeName() {
    char unit_storage[24];
    TextBuffer unit(unit_storage, sizeof(unit_storage));
    if (!unit_.name.empty()) unit << '_';
    for (const char c : unit_.name) unit << (c == ' ' ? '_' : c);
    char stem_storage[sizeof(storage_)];
    TextBuffer stem(stem_storage, sizeof(stem_storage));
    stem << "spanmalloc";
    for (size_t d = path_.Part(0) == "spanmalloc" ? 1 : 0; d < path_.depth; ++d) {
      if (!path_.IsIndex(d)) stem << '_' << WithoutUnit(path_.Part(d));
    }
    std::string_view before = stem.text();
    std::string_view behind = before;
    const size_t at = before.find(unit.text());
    if (at != before.npos) behind.remove_prefix(at + unit.size());
    if (at != before.npos && (behind.empty() || behind.front() == '_')) {
      before.remove_suffix(before.size() - at);
    } else {
      behind = {};
    }
    TextBuffer name(storage_, sizeof(storage_));
    name << before << behind << unit.text();
    name_ = name.text();
  }

  void PrintHead() {
    if (head_printed_) return;
    head_printed_ = true;
    out_ << "# TYPE " << name_ << (counter_ ? " counter\n" : " gauge\n");
    if (!unit_.name.empty()) {
      std::string_view suffix = name_;
      suffix.remove_prefix(name_.size() - unit_.name.size());
      out_ << "# UNIT " << name_ << " " << suffix << "\n";
    }
    out_ << "# HELP " << name_ << " ";
    for (const char* c = facts_.help; *c != '\0'; ++c) {
      if (*c == '\\' || *c == '"') out_ << "\\";
      out_ << std::string_view(c, 1);
    }
    out_ << "\n";
  }

  void PrintSample(std::string_view labels) {
    CtlValue value;
    if (!reader_.Read(row_, indices_, &value)) return;
    PrintHead();
    out_ << name_ << (counter_ ? "_total" : "");
    if (!labels.empty()) out_ << "{" << labels << "}";
    out_ << " ";
    PrintNumber(value.number);
    out_ << "\n";
  }

  void PrintNumber(uint64_t number) {
    if (facts_.type == CtlType::kSigned && static_cast<int64_t>(number) < 0) {
      out_ << "-";
      number = -number;
      // No time: for ever.
      if (unit_.decimals != 0) {
        out_ << number;
        return;
      }
    }
    uint64_t whole = 1;
    for (int i = 0; i < unit_.decimals; ++i) whole *= 10;
    out_ << number / whole;
    if (unit_.decimals == 0) return;
    char digits[16];
    TextBuffer text(digits, sizeof(digits));
    text << '.';
    text.Padded(number % whole, unit_.decimals);
    out_ << text.text();
  }

  // Prints what has `labels` for the `known` indices that stand before component `d`.
  void PrintFrom(size_t d, size_t known, std::string_view labels) {
    while (d < path_.depth && !path_.IsIndex(d)) ++d;
    if (d == path_.depth) {
      PrintSample(labels);
    } else if (path_.Part(d) == "<i>") {
      PrintArenas(d);
    } else {
      PrintEach(d, known, labels);
    }
  }

  void PrintArenas(size_t d) {
    reader_.ForArenas(parts_, [&](size_t arena) {
      // The sum of the arenas that are printed.
      if (arena == kAllArenas && parts_.arenas) return;
      char storage[64];
      TextBuffer labels(storage, sizeof(storage));
      labels << "arena=\"";
      if (arena == kAllArenas) {
        labels << "merged";
      } else if (arena == kDestroyedArenas) {
        labels << "destroyed";
      } else {
        labels << uint64_t{arena};
      }
      labels << "\"";
      indices_[0] = arena;
      PrintFrom(d + 1, 1, labels.text());
    });
  }

  // Component `d` is the `known`-th index, that of a size class or a CPU.
  void PrintEach(size_t d, size_t known, std::string_view above) {
    for (size_t i = 0; reader_.IndexExists(row_, d, i); ++i) {
      char storage[128];
      TextBuffer labels(storage, sizeof(storage));
      labels << above << (above.empty() ? "" : ",");
      if (path_.Part(d) == "<j>") {
        labels << "size=\"" << reader_.Number("arenas.bin.<j>.size", {i}) << "\"";
      } else if (path_.Part(d) == "<k>") {
        labels << "size=\"" << reader_.Number("arenas.lextent.<k>.size", {i}) << "\"";
      } else {
        labels << (path_.Part(d) == "<s>" ? "cpu" : "index") << "=\"" << uint64_t{i} << "\"";
      }
      indices_[known] = i;
      PrintFrom(d + 1, known + 1, labels.text());
    }
  }

  const size_t row_;
  const CtlRow facts_;
  const CtlPath path_;
  const Unit unit_;
  const bool counter_;
  const StatsReader& reader_;
  const StatsParts& parts_;
  StatsWriter& out_;
  CtlIndices indices_ = {};
  bool head_printed_ = false;
  char storage_[128];
  std::string_view name_;
};

bool IsWanted(size_t row, const StatsParts& parts) {
  const CtlPath path = CtlPathAt(row);
  if (path.Part(0) != "stats" && path.Part(0) != "spanmalloc") return false;
  if (!StatsReader::IsPrintable(row) || CtlRowAt(row).type == CtlType::kString) return false;
  for (size_t d = 0; d < path.depth; ++d) {
    if (!parts.Wants(path.Part(d))) return false;
  }
  return true;
}

}  // namespace

void PrintStatsOpenMetrics(const StatsReader& reader, const StatsParts& parts, StatsWriter& out) {
  if (parts.general) {
    out << "# TYPE spanmalloc_build info\n"
        << "# HELP spanmalloc_build The library.\n"
        << "spanmalloc_build_info{version=\"" << reader.String("version") << "\"} 1\n";
  }
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    if (IsWanted(row, parts)) Family(row, reader, parts, out).Print();
  }
  out << "# EOF\n";
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/stats_text.h"

#include "allocator/control/stats_columns.h"
#include "allocator/control/stats_own_text.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

constexpr size_t kLabel = 22;

// The last part of a row's name.
std::string_view LastPart(size_t row) {
  const CtlPath path = CtlPathAt(row);
  return path.Part(path.depth - 1);
}

void PrintLabel(std::string_view label, StatsWriter& out) {
  out << label;
  for (size_t i = label.size(); i < kLabel; ++i) out << " ";
}

void PrintValue(size_t row, const CtlValue& value, StatsWriter& out) {
  switch (CtlRowAt(row).type) {
    case CtlType::kBool:
      out << (value.number != 0);
      break;
    case CtlType::kSigned:
      out << static_cast<int64_t>(value.number);
      break;
    case CtlType::kString:
      out << "\"" << (value.string == nullptr ? "" : value.string) << "\"";
      break;
    default:
      out << value.number;
  }
}

// The values below `top`, which is one of the names' first components. Beside an option that can be
// written while the program runs: what it is now.
void PrintSettings(const char* heading, std::string_view top, const StatsReader& reader,
                   StatsWriter& out) {
  bool first = true;
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    const CtlPath path = CtlPathAt(row);
    CtlValue value;
    if (path.Part(0) != top || path.depth != 2 || !StatsReader::IsPrintable(row)) continue;
    if (!reader.Read(row, {}, &value)) continue;
    if (first) out << heading << "\n";
    first = false;
    out << "  " << path.name << ": ";
    PrintValue(row, value, out);
    const std::string_view option = top == "opt" ? path.Part(1) : std::string_view();
    if (option == "dirty_decay_ms" || option == "muzzy_decay_ms") {
      char storage[48];
      TextBuffer now(storage, sizeof(storage));
      now << "arenas." << option;
      out << " (" << now.text() << ": " << static_cast<int64_t>(reader.Number(now.text())) << ")";
    } else if (option == "background_thread") {
      out << " (background_thread: " << (reader.Number("background_thread") != 0) << ")";
    }
    out << "\n";
  }
}

void PrintGeneral(const StatsReader& reader, StatsWriter& out) {
  out << "Version: \"" << reader.String("version") << "\"\n";
  PrintSettings("Build-time option settings", "config", reader, out);
  PrintSettings("Run-time option settings", "opt", reader, out);
  PrintSettings("Profiling settings", "prof", reader, out);
  struct Fact {
    char label[40];
    char name[20];
  };
  static constexpr Fact kFacts[] = {
      {"Arenas", "arenas.narenas"},
      {"Quantum size", "arenas.quantum"},
      {"Page size", "arenas.page"},
      {"Hugepage size", "arenas.hugepage"},
      {"Maximum thread-cached size class", "arenas.tcache_max"},
      {"Number of bin size classes", "arenas.nbins"},
      {"Number of thread-cache bin size classes", "arenas.nhbins"},
      {"Number of large size classes", "arenas.nlextents"},
  };
  for (const Fact& fact : kFacts) {
    out << fact.label << ": " << reader.Number(fact.name) << "\n";
  }
}

constexpr StatsColumn kMutexColumns[] = {
    {"n_lock_ops", "num_ops", 16, true},
    {"n_waiting", "num_wait", 16, true},
    {"n_spin_acq", "num_spin_acq", 16, true},
    {"n_owner_switch", "num_owner_switch", 16, true},
    {"total_wait_ns", "total_wait_time", 16, true},
    {"max_wait_ns", "max_wait_time", 16, false},
    {"max_n_thds", "max_num_thds", 11, false},
};

// The locks whose names stand below `prefix`: each has a row that ends in num_ops.
void PrintMutexes(std::string_view prefix, const CtlIndices& indices, uint64_t uptime_ns,
                  const StatsReader& reader, StatsWriter& out) {
  bool first = true;
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    std::string_view name = CtlRowAt(row).name;
    if (!name.starts_with(prefix) || LastPart(row) != "num_ops") continue;
    CtlValue value;
    if (!reader.Read(row, indices, &value)) continue;
    name.remove_suffix(LastPart(row).size());
    const StatsColumns columns(name, kMutexColumns);
    if (first) {
      PrintLabel("", out);
      columns.PutHeadings(out);
      out << "\n";
    }
    first = false;
    const CtlPath path = CtlPathAt(row);
    PrintLabel(path.Part(path.depth - 2), out);
    columns.PutNumbers(reader, indices, uptime_ns, out);
    out << "\n";
  }
}

void PrintTotals(const StatsReader& reader, const StatsParts& parts, StatsWriter& out) {
  out << "Allocated: " << reader.Number("stats.allocated")
      << ", active: " << reader.Number("stats.active")
      << ", metadata: " << reader.Number("stats.metadata") << " (n_thp "
      << reader.Number("stats.metadata_thp");
  // The parts of it, if they are told.
  static constexpr char kParts[][8] = {"edata", "rtree"};
  for (const char* part : kParts) {
    char storage[32];
    TextBuffer name(storage, sizeof(storage));
    name << "stats.metadata_" << part;
    if (StatsReader::RowOf(name.text()) == CtlRowCount()) continue;
    out << ", " << part << " " << reader.Number(name.text());
  }
  out << "), resident: " << reader.Number("stats.resident")
      << ", mapped: " << reader.Number("stats.mapped")
      << ", retained: " << reader.Number("stats.retained");
  if (StatsReader::RowOf("stats.pinned") != CtlRowCount()) {
    out << ", pinned: " << reader.Number("stats.pinned");
  }
  out << "\n";
  out << "Count of realloc(non-null-ptr, 0) calls: " << reader.Number("stats.zero_reallocs")
      << "\n";
  out << "Background threads: " << reader.Number("stats.background_thread.num_threads")
      << ", num_runs: " << reader.Number("stats.background_thread.num_runs")
      << ", run_interval: " << reader.Number("stats.background_thread.run_interval") << " ns\n";
  if (parts.mutexes) {
    const uint64_t uptime_ns = reader.Number("stats.arenas.<i>.uptime", {kAllArenas});
    PrintMutexes("stats.mutexes.", {}, uptime_ns, reader, out);
  }
}

// The statistics of one arena, or of several together.
class ArenaText {
 public:
  ArenaText(size_t arena, const StatsReader& reader, StatsWriter& out)
      : indices_{arena}, reader_(reader), out_(out), uptime_ns_(Number("uptime")) {}

  void Print(const StatsParts& parts) {
    PrintFacts();
    PrintDecay();
    PrintTraffic();
    PrintSizes();
    if (parts.mutexes) {
      PrintMutexes("stats.arenas.<i>.mutexes.", indices_, uptime_ns_, reader_, out_);
    }
    if (parts.bins) PrintBins(parts);
    if (parts.large) PrintLarge();
    if (parts.extents) PrintExtents();
  }

 private:
  uint64_t Number(std::string_view part) const {
    char storage[96];
    TextBuffer name(storage, sizeof(storage));
    name << "stats.arenas.<i>." << part;
    return reader_.Number(name.text(), indices_);
  }

  void PrintFacts() {
    out_ << "assigned threads: " << Number("nthreads") << "\n";
    out_ << "uptime: " << uptime_ns_ << "\n";
    const char* dss = reader_.String("stats.arenas.<i>.dss", indices_);
    out_ << "dss allocation precedence: \"" << (dss == nullptr ? "N/A" : dss) << "\"\n";
  }

  void PrintDecayRow(std::string_view label, std::string_view kind, uint64_t pages) {
    char storage[32];
    const auto number = [&](const char* what) {
      TextBuffer name(storage, sizeof(storage));
      name << kind << what;
      return Number(name.text());
    };
    out_ << label;
    const auto decay_ms = static_cast<int64_t>(number("_decay_ms"));
    if (decay_ms >= 0) {
      out_.Column(static_cast<uint64_t>(decay_ms), 8);
    } else {
      out_.Column("N/A", 8);
    }
    out_.Column(pages, 12).Column(number("_npurge"), 12);
    out_.Column(number("_nmadvise"), 12).Column(number("_purged"), 12) << "\n";
  }

  void PrintDecay() {
    out_ << "decaying:     time       npages       sweeps     madvises       purged\n";
    PrintDecayRow("   dirty:", "dirty", Number("pdirty"));
    PrintDecayRow("   muzzy:", "muzzy", Number("pmuzzy"));
  }

  void PrintTraffic() {
    static constexpr StatsColumn kColumns[] = {
        {"allocated", "allocated", 14, false}, {"nmalloc", "nmalloc", 14, true},
        {"ndalloc", "ndalloc", 14, true},      {"nrequests", "nrequests", 14, true},
        {"nfill", "nfills", 14, true},         {"nflush", "nflushes", 14, true},
    };
    const StatsColumns small("stats.arenas.<i>.small.", kColumns);
    const StatsColumns large("stats.arenas.<i>.large.", kColumns);
    PrintLabel("", out_);
    large.PutHeadings(out_);
    out_ << "\n";
    PrintLabel("small:", out_);
    small.PutNumbers(reader_, indices_, uptime_ns_, out_);
    out_ << "\n";
    PrintLabel("large:", out_);
    large.PutNumbers(reader_, indices_, uptime_ns_, out_);
    out_ << "\n";
    PrintLabel("total:", out_);
    large.PutSums(small, reader_, indices_, uptime_ns_, out_);
    out_ << "\n\n";
  }

  void PrintSize(std::string_view label, uint64_t size) {
    PrintLabel(label, out_);
    out_.Column(size, 14) << "\n";
  }

  // Every number of the arena that stands by itself from `mapped` on.
  void PrintSizes() {
    PrintSize("active:", Number("pactive") * reader_.Number("arenas.page"));
    static constexpr char kNames[][24] = {
        "mapped",         "retained",       "pinned",       "base",         "internal",
        "metadata_edata", "metadata_rtree", "metadata_thp", "tcache_bytes", "tcache_stashed_bytes",
        "resident",       "abandoned_vm",   "extent_avail",
    };
    for (const char* name : kNames) {
      char storage[64];
      TextBuffer whole(storage, sizeof(storage));
      whole << "stats.arenas.<i>." << name;
      CtlValue value;
      if (!reader_.Read(StatsReader::RowOf(whole.text()), indices_, &value)) continue;
      TextBuffer label(storage, sizeof(storage));
      label << name << ":";
      PrintSize(label.text(), value.number);
    }
  }

  // Rows of a table by size class: runs of classes that were never used are one line. `used` says
  // whether index i was, `print` prints its row. `row` has the index, as component `depth`.
  template <typename Used, typename Print>
  void PrintByClass(size_t row, size_t depth, Used used, Print print) {
    bool in_gap = false;
    for (size_t i = 0; row < CtlRowCount() && reader_.IndexExists(row, depth, i); ++i) {
      indices_[1] = i;
      const bool in_use = used();
      if (in_use) {
        print(i);
        out_ << "\n";
      } else if (!in_gap) {
        out_.Column("---", 25) << "\n";
      }
      in_gap = !in_use;
    }
  }

  void PrintBins(const StatsParts& parts) {
    static constexpr StatsColumn kTraffic[] = {
        {"nmalloc", "nmalloc", 14, true},
        {"ndalloc", "ndalloc", 14, true},
        {"nrequests", "nrequests", 14, true},
    };
    static constexpr StatsColumn kSpans[] = {
        {"curregs", "curregs", 12, false},
        {"curslabs", "curslabs", 12, false},
        {"nonfull_slabs", "nonfull_slabs", 14, false},
    };
    static constexpr StatsColumn kBatches[] = {
        {"nfills", "nfills", 14, true},
        {"nflushes", "nflushes", 14, true},
        {"nslabs", "nslabs", 12, false},
        {"nreslabs", "nreslabs", 12, true},
    };
    static constexpr std::string_view kPrefix = "stats.arenas.<i>.bins.<j>.";
    const StatsColumns traffic(kPrefix, kTraffic);
    const StatsColumns spans(kPrefix, kSpans);
    const StatsColumns batches(kPrefix, kBatches);
    const StatsColumns mutex("stats.arenas.<i>.bins.<j>.mutex.", kMutexColumns);
    out_ << "bins:";
    out_.Column("size", 15).Column("ind", 3).Column("allocated", 14);
    traffic.PutHeadings(out_);
    out_.Column("nshards", 8);
    spans.PutHeadings(out_);
    out_.Column("regs", 4).Column("pgs", 3).Column("util", 6);
    batches.PutHeadings(out_);
    if (parts.mutexes) mutex.PutHeadings(out_);
    out_ << "\n";
    const size_t made = StatsReader::RowOf("stats.arenas.<i>.bins.<j>.nslabs");
    const uint64_t page = reader_.Number("arenas.page");
    PrintByClass(
        made, 4,
        [&] {
          CtlValue value;
          return reader_.Read(made, indices_, &value) && value.number != 0;
        },
        [&](size_t bin) {
          const uint64_t size = reader_.Number("arenas.bin.<j>.size", {bin});
          const uint64_t regions = reader_.Number("arenas.bin.<j>.nregs", {bin});
          const uint64_t live = spans.Number(reader_, 0, indices_);
          const uint64_t capacity = spans.Number(reader_, 1, indices_) * regions;
          out_.Column(size, 20).Column(bin, 3).Column(live * size, 14);
          traffic.PutNumbers(reader_, indices_, uptime_ns_, out_);
          out_.Column(reader_.Number("arenas.bin.<j>.nshards", {bin}), 8);
          spans.PutNumbers(reader_, indices_, uptime_ns_, out_);
          out_.Column(regions, 4);
          out_.Column(reader_.Number("arenas.bin.<j>.slab_size", {bin}) / page, 3);
          out_.Fraction(capacity == 0 ? 1000 : live * 1000 / capacity, 6);
          batches.PutNumbers(reader_, indices_, uptime_ns_, out_);
          if (parts.mutexes) mutex.PutNumbers(reader_, indices_, uptime_ns_, out_);
        });
  }

  void PrintLarge() {
    static constexpr StatsColumn kColumns[] = {
        {"nmalloc", "nmalloc", 14, true},
        {"ndalloc", "ndalloc", 14, true},
        {"nrequests", "nrequests", 14, true},
        {"curlextents", "curlextents", 12, false},
    };
    const StatsColumns columns("stats.arenas.<i>.lextents.<k>.", kColumns);
    out_ << "large:";
    out_.Column("size", 14).Column("ind", 3).Column("allocated", 14);
    columns.PutHeadings(out_);
    out_ << "\n";
    const uint64_t bins = reader_.Number("arenas.nbins");
    PrintByClass(
        StatsReader::RowOf("stats.arenas.<i>.lextents.<k>.curlextents"), 4,
        [&] { return columns.Number(reader_, 0, indices_) != 0; },
        [&](size_t index) {
          const uint64_t size = reader_.Number("arenas.lextent.<k>.size", {index});
          out_.Column(size, 20).Column(bins + index, 3);
          out_.Column(columns.Number(reader_, 3, indices_) * size, 14);
          columns.PutNumbers(reader_, indices_, uptime_ns_, out_);
        });
  }

  void PrintExtents() {
    static constexpr StatsColumn kColumns[] = {
        {"ndirty", "ndirty", 12, false},       {"dirty", "dirty_bytes", 14, false},
        {"nmuzzy", "nmuzzy", 12, false},       {"muzzy", "muzzy_bytes", 14, false},
        {"nretained", "nretained", 12, false}, {"retained", "retained_bytes", 14, false},
    };
    static constexpr std::string_view kPrefix = "stats.arenas.<i>.extents.";
    // Whatever letter its index has.
    size_t row = 0;
    while (row < CtlRowCount() && !CtlRowAt(row).name.starts_with(kPrefix)) ++row;
    out_ << "extents:";
    out_.Column("ind", 14);
    if (row == CtlRowCount()) {
      out_ << "\n";
      out_.Column("---", 25) << "\n";
      return;
    }
    std::string_view prefix = CtlRowAt(row).name;
    prefix.remove_suffix(LastPart(row).size());
    const StatsColumns columns(prefix, kColumns);
    columns.PutHeadings(out_);
    out_.Column("ntotal", 12).Column("total", 14) << "\n";
    const auto number = [&](size_t i) { return columns.Number(reader_, i, indices_); };
    PrintByClass(
        row, 4, [&] { return number(0) + number(2) + number(4) != 0; },
        [&](size_t index) {
          out_.Column(index, 22);
          columns.PutNumbers(reader_, indices_, uptime_ns_, out_);
          out_.Column(number(0) + number(2) + number(4), 12);
          out_.Column(number(1) + number(3) + number(5), 14);
        });
  }

  CtlIndices indices_;
  const StatsReader& reader_;
  StatsWriter& out_;
  const uint64_t uptime_ns_;
};

}  // namespace

void PrintStatsText(const StatsReader& reader, const StatsParts& parts, StatsWriter& out) {
  out << "___ Begin jemalloc statistics ___\n";
  if (parts.general) PrintGeneral(reader, out);
  PrintTotals(reader, parts, out);
  reader.ForArenas(parts, [&](size_t arena) {
    if (arena == kAllArenas) {
      out << "\nMerged arenas stats:\n";
    } else if (arena == kDestroyedArenas) {
      out << "\nDestroyed arenas stats:\n";
    } else {
      out << "\narenas[" << uint64_t{arena} << "]:\n";
    }
    ArenaText(arena, reader, out).Print(parts);
  });
  out << "\n";
  PrintOwnText(reader, parts, out);
  out << "--- End jemalloc statistics ---\n";
}

}  // namespace spanmalloc

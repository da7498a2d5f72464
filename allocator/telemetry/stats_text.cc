// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/stats_text.h"

namespace spanmalloc {
namespace {

constexpr size_t kWide = 14;   // bytes and counts
constexpr size_t kNarrow = 9;  // rates
constexpr size_t kLabel = 22;

// A label, padded, and a number.
void Line(StatsWriter& out, std::string_view label, uint64_t value) {
  out << label;
  for (size_t i = label.size(); i < kLabel; ++i) out << " ";
  out.Column(value, kWide) << "\n";
}

// A count and how many that is per second of uptime.
void CountAndRate(StatsWriter& out, uint64_t count, uint64_t uptime_ns) {
  const uint64_t seconds = uptime_ns / 1'000'000'000;
  out.Column(count, kWide).Column(seconds == 0 ? count : count / seconds, kNarrow);
}

void PrintOptions(const StatsDump& dump, StatsWriter& out) {
  out << "Run-time option settings\n";
  for (size_t row = 0; row < OptionCount(); ++row) {
    const OptionInfo info = OptionAt(row);
    const OptionValue value = ValueOf(dump.options, row);
    const std::string_view name = info.name;
    out << "  opt." << name << ": ";
    if (info.kind == OptionKind::kBool) {
      out << (value.number != 0);
    } else if (value.text != nullptr) {
      out << "\"" << value.text << "\"";
    } else {
      out << value.number;
    }
    if (name == "dirty_decay_ms") {
      out << " (arenas.dirty_decay_ms: " << dump.default_dirty_decay_ms << ")";
    }
    if (name == "muzzy_decay_ms") {
      out << " (arenas.muzzy_decay_ms: " << dump.default_muzzy_decay_ms << ")";
    }
    out << "\n";
  }
}

void PrintGeneral(const StatsDump& dump, StatsWriter& out) {
  out << "Version: \"" << dump.version << "\"\n";
  out << "Build-time option settings\n";
  for (const BuildFact& fact : kBuildFacts) {
    out << "  config." << fact.name << ": " << fact.value << "\n";
  }
  out << "  config.malloc_conf: \"\"\n";
  PrintOptions(dump, out);
  out << "Arenas: " << dump.arenas << "\n";
  out << "Quantum size: " << kMinAlignment << "\n";
  out << "Page size: " << kPageSize << "\n";
  out << "Maximum thread-cached size class: " << kMaxClassSize << "\n";
  out << "Number of bin size classes: " << kSizeClasses << "\n";
  out << "Number of thread-cache bin size classes: " << kSizeClasses << "\n";
  out << "Number of large size classes: " << kLargeClasses << "\n";
}

void PrintTotals(const StatsDump& dump, StatsWriter& out) {
  const StatsSnapshot& s = dump.snapshot;
  out << "Allocated: " << s.allocated() << ", active: " << s.active()
      << ", metadata: " << s.metadata() << " (n_thp 0), resident: " << s.resident()
      << ", mapped: " << MappedBytes(s) << ", retained: " << s.retained() << "\n";
  out << "Count of realloc(non-null-ptr, 0) calls: " << dump.zero_reallocs << "\n";
  out << "Background threads: " << s.background.threads << ", num_runs: " << s.background.runs
      << ", run_interval: " << s.background.interval_ns << " ns\n";
  out << "Idle threads' caches taken back: " << s.idle_caches.caches
      << ", objects: " << s.idle_caches.objects << ", bytes: " << s.idle_caches.bytes << "\n";
  out << "Pages given back and wanted again within seconds: " << s.heap.reused_pages << " of "
      << s.heap.released_pages << "\n";
}

// One row of the table of small and large blocks.
struct Traffic {
  uint64_t allocated;
  uint64_t allocations;
  uint64_t deallocations;
  uint64_t fills;
  uint64_t flushes;
};

void PrintTraffic(std::string_view label, const Traffic& traffic, uint64_t uptime_ns,
                  StatsWriter& out) {
  out << label;
  for (size_t i = label.size(); i < kLabel; ++i) out << " ";
  out.Column(traffic.allocated, kWide);
  CountAndRate(out, traffic.allocations, uptime_ns);
  CountAndRate(out, traffic.deallocations, uptime_ns);
  CountAndRate(out, traffic.fills, uptime_ns);
  CountAndRate(out, traffic.flushes, uptime_ns);
  out << "\n";
}

void PrintTrafficTable(const StatsSnapshot& s, uint64_t uptime_ns, StatsWriter& out) {
  out.Column("", kLabel - 1).Column("allocated", kWide);
  for (const char* column : {"nmalloc", "ndalloc", "nfill", "nflush"}) {
    out.Column(column, kWide).Column("(#/sec)", kNarrow);
  }
  out << "\n";
  const Traffic small = {s.small_live, s.small_allocations, s.small_deallocations, s.small_fills,
                         s.small_flushes};
  const Traffic large = {s.large_live(), s.heap.large_allocated, s.heap.large_freed, 0, 0};
  PrintTraffic("small:", small, uptime_ns, out);
  PrintTraffic("large:", large, uptime_ns, out);
  PrintTraffic("total:",
               {small.allocated + large.allocated, small.allocations + large.allocations,
                small.deallocations + large.deallocations, small.fills, small.flushes},
               uptime_ns, out);
}

void PrintDecay(std::string_view label, int64_t decay_ms, size_t pages, uint64_t sweeps,
                uint64_t calls, uint64_t released, StatsWriter& out) {
  out << label;
  if (decay_ms >= 0) {
    out.Column(static_cast<uint64_t>(decay_ms), 8);
  } else {
    out.Column("N/A", 8);
  }
  out.Column(pages, 12).Column(sweeps, 12).Column(calls, 12).Column(released, 12) << "\n";
}

void PrintArenaTotals(const StatsDump& dump, StatsWriter& out) {
  const StatsSnapshot& s = dump.snapshot;
  out << "assigned threads: " << s.threads << "\n";
  out << "uptime: " << dump.uptime_ns << "\n";
  out << "dss allocation precedence: \"" << dump.options.dss << "\"\n";
  out << "decaying:     time       npages       sweeps     madvises       purged\n";
  PrintDecay("   dirty:", dump.dirty_decay_ms, s.heap.dirty_pages, s.heap.releases,
             s.heap.release_calls, s.heap.released_pages, out);
  PrintDecay("   muzzy:", dump.muzzy_decay_ms, 0, 0, 0, 0, out);
  PrintTrafficTable(s, dump.uptime_ns, out);
  out << "\n";
  Line(out, "active:", s.active());
  Line(out, "mapped:", MappedBytes(s));
  Line(out, "retained:", s.retained());
  Line(out, "base:", s.metadata());
  Line(out, "internal:", 0);
  Line(out, "metadata_thp:", 0);
  Line(out, "tcache_bytes:", s.thread_cached);
  Line(out, "tcache_stashed_bytes:", 0);
  Line(out, "resident:", s.resident());
  Line(out, "abandoned_vm:", 0);
}

void PrintBin(const StatsDump& dump, size_t c, StatsWriter& out) {
  const SizeClassInfo& info = kSizeClassTable[c];
  const ClassStats& stats = dump.snapshot.classes[c];
  const uint64_t capacity = uint64_t{stats.spans} * info.objects;
  out.Column("", 5).Column(info.size, kWide).Column(c - 1, 3);
  out.Column(stats.live * info.size, kWide);
  CountAndRate(out, stats.allocations, dump.uptime_ns);
  CountAndRate(out, stats.deallocations, dump.uptime_ns);
  out.Column(dump.snapshot.shards, 8).Column(stats.live, 12).Column(stats.spans, 12);
  out.Column(stats.nonfull_spans, 14).Column(info.objects, 4).Column(info.pages, 3);
  out.Fraction(capacity == 0 ? 1000 : stats.live * 1000 / capacity, 6);
  CountAndRate(out, stats.fills, dump.uptime_ns);
  CountAndRate(out, stats.flushes, dump.uptime_ns);
  out.Column(stats.spans_made, 12).Column(stats.spans_reused, 12) << "\n";
}

void PrintBins(const StatsDump& dump, StatsWriter& out) {
  out << "bins:";
  out.Column("", 0).Column("size", kWide).Column("ind", 3).Column("allocated", kWide);
  out.Column("nmalloc", kWide).Column("(#/sec)", kNarrow);
  out.Column("ndalloc", kWide).Column("(#/sec)", kNarrow);
  out.Column("nshards", 8).Column("curregs", 12).Column("curslabs", 12);
  out.Column("nonfull_slabs", 14).Column("regs", 4).Column("pgs", 3).Column("util", 6);
  out.Column("nfills", kWide).Column("(#/sec)", kNarrow);
  out.Column("nflushes", kWide).Column("(#/sec)", kNarrow);
  out.Column("nslabs", 12).Column("nreslabs", 12) << "\n";
  bool in_gap = false;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const ClassStats& stats = dump.snapshot.classes[c];
    const bool used = stats.spans_made != 0;
    if (used) {
      PrintBin(dump, c, out);
    } else if (!in_gap) {
      out.Column("---", 25) << "\n";
    }
    in_gap = !used;
  }
}

void PrintArena(const StatsDump& dump, const StatsParts& parts, StatsWriter& out) {
  PrintArenaTotals(dump, out);
  if (parts.bins) PrintBins(dump, out);
  if (parts.large) {
    out << "large:          blocks    allocated\n";
    out.Column(dump.snapshot.heap.large_spans, 21).Column(dump.snapshot.large_live(), 12) << "\n";
  }
}

// Bytes, and the same in MiB where that is easier to read.
void OwnBytes(StatsWriter& out, std::string_view label, int64_t bytes) {
  const uint64_t size = static_cast<uint64_t>(bytes < 0 ? -bytes : bytes);
  out << "  " << label;
  for (size_t i = label.size(); i < 44; ++i) out << " ";
  out << (bytes < 0 ? "-" : " ");
  out.Column(size, kWide) << " bytes" << (bytes < 0 ? "  -" : "   ");
  out.Fraction(size / 1024 * 1000 / 1024, 10) << " MiB\n";
}

int64_t Bytes(size_t size) { return static_cast<int64_t>(size); }

void OwnCount(StatsWriter& out, std::string_view label, uint64_t count) {
  out << "  " << label;
  for (size_t i = label.size(); i < 44; ++i) out << " ";
  out.Column(count, kWide) << "\n";
}

void PrintOwn(const StatsDump& dump, StatsWriter& out) {
  const StatsSnapshot& s = dump.snapshot;
  out << "spanmalloc: where the resident memory is (the last row is the sum)\n";
  for (size_t row = 0; row < kRssRows; ++row) {
    OwnBytes(out, kRssRowTexts[row].label, dump.rss.bytes[row]);
  }
  out << "spanmalloc: of that, and beyond\n";
  OwnBytes(out, "given back to the kernel inside spans", Bytes(s.span_released));
  OwnBytes(out, "free pages, at most resident", Bytes(s.dirty()));
  OwnBytes(out, "address space without memory behind it", Bytes(s.retained()));
  out << "spanmalloc: what it did\n";
  OwnCount(out, "threads that have a cache", s.threads);
  OwnCount(out, "CPUs that have free lists", s.shards);
  OwnCount(out, "NUMA nodes that have a page heap", s.nodes);
  OwnCount(out, "huge pages cut into spans", s.heap.huge_pages_cut);
  OwnCount(out, "large blocks in use", s.heap.large_spans);
  OwnCount(out, "batches fetched by thread caches", s.small_fills);
  OwnCount(out, "batches given back by thread caches", s.small_flushes);
  OwnCount(out, "large blocks grown where they were", s.heap.grown_in_place);
  OwnBytes(out, "added to them", s.heap.grown_pages * kPageSize);
  OwnCount(out, "large blocks moved by remapping", s.heap.remapped);
  OwnBytes(out, "remapped of them", s.heap.remapped_pages * kPageSize);
  OwnCount(out, "large blocks moved by copying", s.heap.copied);
  OwnBytes(out, "copied of them", s.heap.copied_bytes);
  OwnCount(out, "places where the heap's mapping is split", s.heap.mapping_splits);
  OwnCount(out, "sweeps that gave memory to the kernel", s.heap.releases);
  OwnBytes(out, "memory given to the kernel, in all", Bytes(s.heap.released_pages * kPageSize));
  out << "  CPU number from: " << dump.cpu_source << "\n";
}

void PrintStage(StatsWriter& out, std::string_view label, const ReclaimStage& stage) {
  OwnBytes(out, label, stage.bytes);
  OwnCount(out, "  in so many passes", stage.runs);
}

void PrintLimits(const StatsSnapshot& s, StatsWriter& out) {
  const MemoryLimitsStats& limits = s.limits;
  out << "spanmalloc: memory limits (0: none)\n";
  OwnBytes(out, "what counts: resident at most", s.resident());
  OwnBytes(out, "soft limit", limits.soft);
  OwnBytes(out, "hard limit", limits.hard);
  OwnBytes(out, "control groups: memory.max", limits.group_max);
  OwnBytes(out, "control groups: memory.high", limits.group_high);
  OwnBytes(out, "control groups: usage", limits.group_usage);
  OwnCount(out, "control groups: pressure, in 1/10000", limits.group_pressure);
  OwnCount(out, "control groups: readings", limits.readings);
  OwnCount(out, "passes that gave memory back", limits.passes);
  OwnCount(out, "  of them, with less than half of what it took", limits.fruitless);
  OwnCount(out, "  microseconds they took", limits.pass_ns / 1000);
  PrintStage(out, "made free out of thread caches", limits.thread_caches);
  PrintStage(out, "made free out of the CPUs' lists", limits.central_lists);
  PrintStage(out, "given back of free pages", limits.pages);
  PrintStage(out, "given back inside spans", limits.spans);
  OwnCount(out, "requests refused", limits.refusals);
}

}  // namespace

void PrintStatsText(const StatsDump& dump, const StatsParts& parts, StatsWriter& out) {
  out << "___ Begin jemalloc statistics ___\n";
  if (parts.general) PrintGeneral(dump, out);
  PrintTotals(dump, out);
  if (parts.merged && (dump.arenas > 1 || !parts.arenas)) {
    out << "\nMerged arenas stats:\n";
    PrintArena(dump, parts, out);
  }
  if (parts.arenas) {
    out << "\narenas[0]:\n";
    PrintArena(dump, parts, out);
  }
  out << "\n";
  PrintOwn(dump, out);
  PrintLimits(dump.snapshot, out);
  out << "--- End jemalloc statistics ---\n";
}

}  // namespace spanmalloc

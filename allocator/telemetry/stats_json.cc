// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/stats_json.h"

namespace spanmalloc {
namespace {

void PrintOptions(const Options& options, JsonWriter& json) {
  json.OpenObject("opt");
  for (size_t row = 0; row < OptionCount(); ++row) {
    const OptionInfo info = OptionAt(row);
    const OptionValue value = ValueOf(options, row);
    if (info.kind == OptionKind::kBool) {
      json.Field(info.name, value.number != 0);
    } else if (value.text != nullptr) {
      json.Field(info.name, value.text);
    } else {
      json.Field(info.name, value.number);
    }
  }
  json.CloseObject();
}

void PrintSizeClasses(const StatsDump& dump, const StatsParts& parts, JsonWriter& json) {
  json.OpenObject("arenas");
  json.Field("narenas", dump.arenas);
  json.Field("dirty_decay_ms", dump.default_dirty_decay_ms);
  json.Field("muzzy_decay_ms", dump.default_muzzy_decay_ms);
  json.Field("quantum", kMinAlignment);
  json.Field("page", kPageSize);
  json.Field("hugepage", kHugePageSize);
  json.Field("tcache_max", kMaxClassSize);
  json.Field("nbins", kSizeClasses);
  json.Field("nhbins", kSizeClasses);
  if (parts.bins) {
    json.OpenArray("bin");
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      const SizeClassInfo& info = kSizeClassTable[c];
      json.OpenObject();
      json.Field("size", info.size);
      json.Field("nregs", info.objects);
      json.Field("slab_size", info.pages * kPageSize);
      json.Field("nshards", dump.snapshot.shards);
      json.CloseObject();
    }
    json.CloseArray();
  }
  json.Field("nlextents", kLargeClasses);
  if (parts.large) {
    json.OpenArray("lextent");
    for (size_t i = 0; i < kLargeClasses; ++i) {
      json.OpenObject();
      json.Field("size", LargeClassSize(i));
      json.CloseObject();
    }
    json.CloseArray();
  }
  json.CloseObject();
}

void PrintGeneral(const StatsDump& dump, const StatsParts& parts, JsonWriter& json) {
  json.Field("version", dump.version);
  json.OpenObject("config");
  for (const BuildFact& fact : kBuildFacts) json.Field(fact.name, fact.value);
  json.Field("malloc_conf", "");
  json.CloseObject();
  PrintOptions(dump.options, json);
  PrintSizeClasses(dump, parts, json);
}

void PrintTotals(const StatsDump& dump, JsonWriter& json) {
  const StatsSnapshot& s = dump.snapshot;
  json.OpenObject("stats");
  json.Field("allocated", s.allocated());
  json.Field("active", s.active());
  json.Field("metadata", s.metadata());
  json.Field("metadata_thp", size_t{0});
  json.Field("resident", s.resident());
  json.Field("mapped", MappedBytes(s));
  json.Field("retained", s.retained());
  json.Field("zero_reallocs", dump.zero_reallocs);
  json.OpenObject("background_thread");
  json.Field("num_threads", s.background.threads);
  json.Field("num_runs", s.background.runs);
  json.Field("run_interval", s.background.interval_ns);
  json.CloseObject();
  json.OpenObject("idle_caches");
  json.Field("caches", s.idle_caches.caches);
  json.Field("objects", s.idle_caches.objects);
  json.Field("bytes", s.idle_caches.bytes);
  json.CloseObject();
  json.OpenObject("release");
  json.Field("pages", s.heap.released_pages);
  json.Field("reused_pages", s.heap.reused_pages);
  json.CloseObject();
  json.CloseObject();
}

void PrintRelease(const char* kind, uint64_t sweeps, uint64_t calls, uint64_t pages,
                  JsonWriter& json) {
  char key[32];
  const auto field = [&](const char* what, uint64_t value) {
    TextBuffer text(key, sizeof(key));
    text << kind << what;
    json.Field(text.text(), value);
  };
  field("_npurge", sweeps);
  field("_nmadvise", calls);
  field("_purged", pages);
}

void PrintBin(const ClassStats& stats, JsonWriter& json) {
  json.OpenObject();
  json.Field("nmalloc", stats.allocations);
  json.Field("ndalloc", stats.deallocations);
  json.Field("curregs", stats.live);
  json.Field("nfills", stats.fills);
  json.Field("nflushes", stats.flushes);
  json.Field("nreslabs", stats.spans_reused);
  json.Field("curslabs", stats.spans);
  json.Field("nonfull_slabs", stats.nonfull_spans);
  json.CloseObject();
}

void PrintSmallAndLarge(const StatsSnapshot& s, JsonWriter& json) {
  json.OpenObject("small");
  json.Field("allocated", s.small_live);
  json.Field("nmalloc", s.small_allocations);
  json.Field("ndalloc", s.small_deallocations);
  json.Field("nfills", s.small_fills);
  json.Field("nflushes", s.small_flushes);
  json.CloseObject();
  json.OpenObject("large");
  json.Field("allocated", s.large_live());
  json.Field("nmalloc", s.heap.large_allocated);
  json.Field("ndalloc", s.heap.large_freed);
  json.Field("nrequests", s.heap.large_allocated);
  json.Field("nfills", uint64_t{0});
  json.Field("nflushes", uint64_t{0});
  json.CloseObject();
}

void PrintArena(const char* name, const StatsDump& dump, const StatsParts& parts,
                JsonWriter& json) {
  const StatsSnapshot& s = dump.snapshot;
  json.OpenObject(name);
  json.Field("nthreads", s.threads);
  json.Field("uptime_ns", dump.uptime_ns);
  json.Field("dss", dump.options.dss);
  json.Field("dirty_decay_ms", dump.dirty_decay_ms);
  json.Field("muzzy_decay_ms", dump.muzzy_decay_ms);
  json.Field("pactive", s.active_pages());
  json.Field("pdirty", s.heap.dirty_pages);
  json.Field("pmuzzy", size_t{0});
  PrintRelease("dirty", s.heap.releases, s.heap.release_calls, s.heap.released_pages, json);
  PrintRelease("muzzy", 0, 0, 0, json);
  PrintSmallAndLarge(s, json);
  json.Field("mapped", MappedBytes(s));
  json.Field("retained", s.retained());
  json.Field("base", s.metadata());
  json.Field("internal", size_t{0});
  json.Field("metadata_thp", size_t{0});
  json.Field("tcache_bytes", s.thread_cached);
  json.Field("tcache_stashed_bytes", size_t{0});
  json.Field("resident", s.resident());
  json.Field("abandoned_vm", size_t{0});
  if (parts.bins) {
    json.OpenArray("bins");
    for (size_t c = 1; c < kSizeClassEnd; ++c) PrintBin(s.classes[c], json);
    json.CloseArray();
  }
  json.CloseObject();
}

void PrintStage(const char* name, const ReclaimStage& stage, JsonWriter& json) {
  json.OpenObject(name);
  json.Field("runs", stage.runs);
  json.Field("bytes", stage.bytes);
  json.CloseObject();
}

void PrintLimits(const MemoryLimitsStats& limits, JsonWriter& json) {
  json.OpenObject("limit");
  json.Field("soft", limits.soft);
  json.Field("hard", limits.hard);
  json.OpenObject("group");
  json.Field("max", limits.group_max);
  json.Field("high", limits.group_high);
  json.Field("usage", limits.group_usage);
  json.Field("pressure", limits.group_pressure);
  json.Field("readings", limits.readings);
  json.CloseObject();
  json.Field("passes", limits.passes);
  json.Field("fruitless", limits.fruitless);
  json.Field("pass_ns", limits.pass_ns);
  PrintStage("thread_caches", limits.thread_caches, json);
  PrintStage("central_lists", limits.central_lists, json);
  PrintStage("pages", limits.pages, json);
  PrintStage("spans", limits.spans, json);
  json.Field("refusals", limits.refusals);
  json.CloseObject();
}

// What no reader of jemalloc's JSON knows and skips.
void PrintOwn(const StatsDump& dump, JsonWriter& json) {
  const StatsSnapshot& s = dump.snapshot;
  json.OpenObject("spanmalloc");
  json.Field("cpu_source", dump.cpu_source);
  json.Field("shards", s.shards);
  json.Field("nodes", s.nodes);
  json.Field("threads", s.threads);
  json.Field("thread_cached", s.thread_cached);
  json.Field("central_cached", s.central_cached);
  json.Field("span_free", s.span_free);
  json.Field("span_released", s.span_released);
  json.Field("huge_pages_cut", s.heap.huge_pages_cut);
  json.Field("large_blocks", s.heap.large_spans);
  json.OpenObject("rss");
  for (size_t row = 0; row < kRssRows; ++row) {
    json.Field(kRssRowTexts[row].key, dump.rss.bytes[row]);
  }
  json.CloseObject();
  json.Field("mapping_splits", s.heap.mapping_splits);
  json.OpenObject("realloc");
  json.Field("in_place", s.heap.grown_in_place);
  json.Field("in_place_bytes", s.heap.grown_pages * kPageSize);
  json.Field("remapped", s.heap.remapped);
  json.Field("remapped_bytes", s.heap.remapped_pages * kPageSize);
  json.Field("copied", s.heap.copied);
  json.Field("copied_bytes", s.heap.copied_bytes);
  json.CloseObject();
  PrintLimits(s.limits, json);
  json.CloseObject();
}

}  // namespace

void PrintStatsJson(const StatsDump& dump, const StatsParts& parts, StatsWriter& out) {
  JsonWriter json(out);
  json.OpenObject();
  json.OpenObject("jemalloc");
  if (parts.general) PrintGeneral(dump, parts, json);
  PrintTotals(dump, json);
  PrintOwn(dump, json);
  if (parts.merged || parts.arenas) {
    json.OpenObject("stats.arenas");
    // As jemalloc: one arena's own figures stand for the sum.
    if (parts.merged && (dump.arenas > 1 || !parts.arenas)) {
      PrintArena("merged", dump, parts, json);
    }
    if (parts.arenas) PrintArena("0", dump, parts, json);
    json.CloseObject();
  }
  json.CloseObject();
  json.CloseObject();
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/stats_snapshot.h"

#include "allocator/telemetry/arena_snapshots.h"
#include "allocator/telemetry/cpu_lists.h"

namespace spanmalloc {
namespace {

// A figure of a class, and which of a list's it is.
struct ListFigure {
  uint64_t ClassStats::* of_class;
  uint64_t CentralFreeListStats::* of_list;
};
constexpr ListFigure kListFigures[] = {
    {&ClassStats::fills, &CentralFreeListStats::fills},
    {&ClassStats::flushes, &CentralFreeListStats::flushes},
    {&ClassStats::spans_made, &CentralFreeListStats::spans_made},
    {&ClassStats::spans_reused, &CentralFreeListStats::spans_reused},
    {&ClassStats::spans, &CentralFreeListStats::spans},
    {&ClassStats::nonfull_spans, &CentralFreeListStats::nonfull_spans},
    {&ClassStats::span_free, &CentralFreeListStats::span_objects},
    {&ClassStats::released_parts, &CentralFreeListStats::released_parts},
};

}  // namespace

void ClassStats::SetLists(const CentralFreeListStats& lists) {
  for (const auto& [of_class, of_list] : kListFigures) this->*of_class = lists.*of_list;
}

void ClassStats::AddListsTo(CentralFreeListStats* lists) const {
  for (const auto& [of_class, of_list] : kListFigures) lists->*of_list += this->*of_class;
}

void ClassStats::SubtractLists(const ClassStats& part) {
  for (const auto& [of_class, of_list] : kListFigures) this->*of_class -= part.*of_class;
}

void StatsSnapshot::SumUp() {
  small_live = thread_cached = central_cached = span_free = span_released = 0;
  small_allocations = small_deallocations = small_requests = small_fills = small_flushes = 0;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const ClassStats& stats = classes[c];
    const size_t size = kSizeClassTable[c].size;
    small_live += stats.live * size;
    small_allocations += stats.allocations;
    small_deallocations += stats.deallocations;
    small_requests += stats.requests;
    small_fills += stats.fills;
    small_flushes += stats.flushes;
    thread_cached += stats.thread_cached * size;
    central_cached += stats.central_cached * size;
    span_free += stats.span_free * size;
    span_released += stats.released_parts * kReleaseUnit;
  }
  // Spans may have gone since they were counted.
  const size_t in_spans = heap.span_pages * kPageSize - large_live();
  if (span_released > in_spans) span_released = in_spans;
  released_pages = span_released / kPageSize;
}

void CountHistory::Settle(size_t c, uint64_t taken, uint64_t returned, size_t cached,
                          ClassStats* stats) {
  // Between the caches' count and this one, objects may have moved. What a cache held at most is
  // what was taken and not yet returned.
  // And sized frees may have brought borrowed objects, which were taken from another class.
  if (returned > taken) returned = taken;
  if (cached > taken - returned) cached = taken - returned;
  const uint64_t deallocations = returned + cached;
  if (deallocations + uncounted_[c] < deallocations_seen_[c]) {
    uncounted_[c] = deallocations_seen_[c] - deallocations;
  }
  deallocations_seen_[c] = deallocations + uncounted_[c];
  stats->deallocations = deallocations + uncounted_[c];
  stats->allocations = stats->requests = taken + uncounted_[c];
  stats->live = stats->allocations - stats->deallocations;
  stats->thread_cached = cached;
}

void StatsCollector::Collect(const StatsSources& sources, StatsSnapshot* snapshot,
                             const StatsDetails& details) {
  ArenaSnapshots* arenas = details.arenas;
  *snapshot = {};
  if (arenas != nullptr) arenas->TakeExplicit(sources);
  size_t cached[kSizeClassEnd] = {};
  const auto counts_of = [arenas, &cached](unsigned arena) -> size_t* {
    size_t* of_arena = arenas == nullptr ? nullptr : arenas->CachedOf(arena);
    return of_arena == nullptr ? cached : of_arena;
  };
  if (details.caches != nullptr) {
    CacheDepth& caches = *details.caches = {};
    sources.registry.AddCounts(caches.objects, caches.limits);
    caches.budget = sources.registry.budget().total();
    caches.budget_left = sources.registry.budget().left();
  }
  CpuCaches& cpu_caches = sources.registry.cpu_caches();
  if (details.cpu_caches != nullptr) {
    CacheDepth& caches = *details.cpu_caches = {};
    cpu_caches.AddCounts(caches.objects, caches.limits);
    caches.budget = cpu_caches.budget().total();
    caches.budget_left = cpu_caches.budget().left();
  }
  snapshot->cpu_caches = cpu_caches.Count();
  snapshot->sharing_threads = sources.registry.sharing();
  snapshot->threads = sources.registry.AddCounts(counts_of);
  if (sources.explicit_caches != nullptr) {
    snapshot->explicit_caches = sources.explicit_caches->AddCounts(counts_of);
  }
  if (arenas != nullptr) arenas->SettleCached();
  snapshot->shards = sources.central.CountShards();
  snapshot->nodes = sources.page_heap.heaps();
  uint64_t requests[kSizeClassEnd] = {};
  const bool counted = sources.counts != nullptr && sources.counts->all();
  if (counted) sources.counts->AddRequests(requests);
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const auto size_class = static_cast<SizeClass>(c);
    CentralFreeListStats central = details.cpus == nullptr
                                       ? sources.central.Stats(size_class)
                                       : details.cpus->TakeClass(sources.central, size_class);
    if (arenas != nullptr) {
      arenas->AddClass(size_class, &central);
    } else if (sources.arenas != nullptr) {
      sources.arenas->AddStats(size_class, &central);
    }
    ClassStats& stats = snapshot->classes[c];
    history_.Settle(c, central.taken, central.returned, cached[c], &stats);
    if (counted) stats.requests = requests[c];
    if (arenas != nullptr) stats.thread_cached += arenas->CachedIn(static_cast<SizeClass>(c));
    stats.SetLists(central);
    stats.central_cached = central.array_objects;
  }
  const PageHeapStats own_heap = sources.page_heap.NodeStats(snapshot->large_classes);
  snapshot->heap = own_heap;
  if (arenas != nullptr) {
    arenas->AddHeaps(snapshot);
  } else if (sources.arenas != nullptr) {
    sources.arenas->AddHeapStats(&snapshot->heap, snapshot->large_classes);
  }
  snapshot->SumUp();
  snapshot->metadata_used = sources.metadata.used_bytes() + sources.page_map.covered_bytes();
  snapshot->page_map = sources.page_map.covered_bytes();
  snapshot->metadata_mapped = sources.metadata.mapped_bytes() + sources.page_map.covered_bytes();
  if (sources.background != nullptr) {
    snapshot->background = sources.background->Stats();
    snapshot->idle_caches = sources.background->idle_caches().Stats();
  }
  if (sources.regions != nullptr) snapshot->regions = sources.regions->Stats();
  snapshot->limits = sources.limits == nullptr ? MemoryLimitsStats() : sources.limits->Stats();
  if (arenas != nullptr) arenas->TakeAutomatic(sources, own_heap, snapshot);
}

}  // namespace spanmalloc

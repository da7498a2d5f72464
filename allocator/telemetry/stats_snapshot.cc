// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/stats_snapshot.h"

#include "allocator/telemetry/arena_snapshots.h"
#include "allocator/telemetry/cpu_lists.h"

namespace spanmalloc {

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
  const size_t in_spans = heap.span_pages * kPageSize;
  if (span_released > in_spans) span_released = in_spans;
}

void StatsCollector::Collect(const StatsSources& sources, StatsSnapshot* snapshot,
                             const StatsDetails& details) {
  ArenaSnapshots* arenas = details.arenas;
  *snapshot = {};
  if (arenas != nullptr) arenas->TakeExplicit(sources);
  size_t cached[kSizeClassEnd] = {};
  if (details.caches != nullptr) {
    CacheDepth& caches = *details.caches = {};
    snapshot->threads = sources.registry.AddCounts(caches.objects, caches.limits);
    caches.budget = sources.registry.budget().total();
    caches.budget_left = sources.registry.budget().left();
    for (size_t c = 1; c < kSizeClassEnd; ++c) cached[c] = caches.objects[c];
  } else {
    snapshot->threads = sources.registry.AddCounts(cached);
  }
  if (sources.explicit_caches != nullptr) {
    snapshot->explicit_caches = sources.explicit_caches->AddCounts(cached);
  }
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
    // Between the caches' count and this one, objects may have moved. What a cache held at most
    // is what was taken and not yet returned.
    // And sized frees may have brought borrowed objects, which were taken from another class.
    if (central.returned > central.taken) central.returned = central.taken;
    const uint64_t outside = central.taken - central.returned;
    if (cached[c] > outside) cached[c] = outside;
    ClassStats& stats = snapshot->classes[c];
    // An object that went back into a cache counts as freed. When the program takes it out again
    // the count would go back; instead both counts go forward by that allocation.
    const uint64_t deallocations = central.returned + cached[c];
    if (deallocations + uncounted_[c] < deallocations_seen_[c]) {
      uncounted_[c] = deallocations_seen_[c] - deallocations;
    }
    deallocations_seen_[c] = deallocations + uncounted_[c];
    stats.deallocations = deallocations + uncounted_[c];
    stats.allocations = central.taken + uncounted_[c];
    stats.requests = counted ? requests[c] : stats.allocations;
    stats.live = stats.allocations - stats.deallocations;
    stats.fills = central.fills;
    stats.flushes = central.flushes;
    stats.spans_made = central.spans_made;
    stats.spans_reused = central.spans_reused;
    stats.spans = central.spans;
    stats.nonfull_spans = central.nonfull_spans;
    stats.thread_cached = cached[c];
    stats.central_cached = central.array_objects;
    stats.span_free = central.span_objects;
    stats.released_parts = central.released_parts;
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
  if (arenas != nullptr) arenas->TakeAutomatic(sources, *snapshot, own_heap);
}

}  // namespace spanmalloc

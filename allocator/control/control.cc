// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/control.h"

#include "allocator/os/clock.h"

namespace spanmalloc {
namespace {

constinit const StatsSnapshot kNothing = {};

}  // namespace

void Control::Start() {
  os::LockHolder hold(lock_);
  ControlState& state = numbers_.state;
  state.start_ns = os::MonotonicNs();
  state.dirty_decay_ms = target_.options.dirty_decay_ms;
  state.default_dirty_decay_ms = target_.options.dirty_decay_ms;
  state.muzzy_decay_ms = target_.options.muzzy_decay_ms;
  state.default_muzzy_decay_ms = target_.options.muzzy_decay_ms;
  if (target_.set_dirty_decay_ms != nullptr) target_.set_dirty_decay_ms(state.dirty_decay_ms);
}

void Control::NextEpoch(ControlState* state) {
  const StatsSources& sources = target_.sources;
  const bool with_cpus =
      numbers_.cpus.wanted() && numbers_.cpus.Begin(sources.central, sources.metadata);
  numbers_.collector.Collect(sources, &state->snapshot,
                             {.arenas = &numbers_.arenas,
                              .cpus = with_cpus ? &numbers_.cpus : nullptr,
                              .caches = &state->caches});
  state->locks.Take(sources, lock_);
  ++state->epoch;
  if (with_cpus) numbers_.cpus_epoch = state->epoch;
  state->uptime_ns = state->start_ns == 0 ? 0 : os::MonotonicNs() - state->start_ns;
  state->zero_reallocs = target_.ZeroReallocs();
}

const RssTable& Control::Rss(ControlState* state) {
  if (state->rss_epoch != state->epoch) {
    state->rss = MeasureRss(target_.sources, state->snapshot);
    state->rss_epoch = state->epoch;
  }
  return state->rss;
}

const StatsSnapshot& Control::ArenaAt(const ControlState& state, size_t index) const {
  if (index == kAllArenas) return state.snapshot;
  const StatsSnapshot* arena =
      index == kDestroyedArenas ? numbers_.arenas.destroyed() : numbers_.arenas.Of(index);
  if (arena != nullptr) return *arena;
  return index == 0 ? state.snapshot : kNothing;
}

// Calls visit(PageHeap&) for the page heaps of an arena or of all.
template <typename Visit>
void Control::ForHeapsOf(size_t arena, Visit visit) const {
  NodeHeaps& heaps = target_.sources.page_heap;
  if (arena == kAllArenas) return heaps.ForEach(visit);
  if (arena == 0) return heaps.ForEachNode(visit);
  if (arena >= NodeHeaps::kMaxArenas) return;
  if (PageHeap* heap = heaps.ArenaHeapAt(static_cast<unsigned>(arena))) visit(*heap);
}

const FreeExtents& Control::Extents(ControlState* state, size_t arena) {
  if (state->extents_epoch != state->epoch || state->extents_arena != arena) {
    state->extents = {};
    ForHeapsOf(arena, [state](PageHeap& heap) { heap.AddFreeExtents(&state->extents); });
    state->extents_epoch = state->epoch;
    state->extents_arena = arena;
  }
  return state->extents;
}

const HugePageCounts& Control::HugePages(ControlState* state, size_t arena) {
  if (state->huge_pages_epoch != state->epoch || state->huge_pages_arena != arena) {
    state->huge_pages = {};
    ForHeapsOf(arena, [state](PageHeap& heap) { heap.AddHugePages(&state->huge_pages); });
    state->huge_pages_epoch = state->epoch;
    state->huge_pages_arena = arena;
  }
  return state->huge_pages;
}

const CpuLists* Control::Cpus() {
  if (numbers_.cpus_epoch == numbers_.state.epoch) return &numbers_.cpus;
  PerCpuCentral& central = target_.sources.central;
  if (!numbers_.cpus.Begin(central, target_.sources.metadata)) return nullptr;
  for (size_t c = 1; c < kSizeClassEnd; ++c)
    numbers_.cpus.TakeClass(central, static_cast<SizeClass>(c));
  numbers_.cpus_epoch = numbers_.state.epoch;
  return &numbers_.cpus;
}

void Control::ResetAfterFork() { lock_.ResetAfterFork(); }

}  // namespace spanmalloc

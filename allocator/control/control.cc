// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/control.h"

#include "allocator/os/clock.h"

namespace spanmalloc {
namespace {

constinit const StatsSnapshot kNothing = {};

// What an arena has of `all`, where `own` is what it was measured to have; nullptr: there was no
// such arena, or no explicit one at all.
template <typename Figures>
const Figures& OfArena(const Figures& all, const Figures* own, size_t arena) {
  static constinit const Figures kNone = {};
  if (arena == kAllArenas) return all;
  if (own != nullptr) return *own;
  return arena == 0 ? all : kNone;
}

}  // namespace

void Control::Start() {
  os::LockHolder hold(lock_);
  start_ns_ = os::MonotonicNsOfKernel();
  if (target_.set_dirty_decay_ms != nullptr) {
    target_.set_dirty_decay_ms(target_.options.dirty_decay_ms);
  }
}

void Control::FirstEpoch(ControlState* state) {
  state->start_ns = start_ns_;
  state->dirty_decay_ms = target_.options.dirty_decay_ms;
  state->default_dirty_decay_ms = target_.options.dirty_decay_ms;
  state->muzzy_decay_ms = target_.options.muzzy_decay_ms;
  state->default_muzzy_decay_ms = target_.options.muzzy_decay_ms;
  NextEpoch(state);
}

void Control::NextEpoch(ControlState* state) {
  const StatsSources& sources = target_.sources;
  const bool with_cpus =
      state->cpus.wanted() && state->cpus.Begin(sources.central, sources.metadata);
  numbers_.collector.Collect(sources, &state->snapshot,
                             {.arenas = &state->arenas,
                              .cpus = with_cpus ? &state->cpus : nullptr,
                              .caches = &state->caches,
                              .cpu_caches = &state->cpu_caches});
  state->locks.Take(sources, lock_);
  ++state->epoch;
  if (with_cpus) state->cpus_epoch = state->epoch;
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
      index == kDestroyedArenas ? state.arenas.destroyed() : state.arenas.Of(index);
  if (arena != nullptr) return *arena;
  return index == 0 ? state.snapshot : kNothing;
}

const FreeExtents& Control::Extents(ControlState* state, size_t arena) {
  if (state->extents_epoch != state->epoch) {
    state->arenas.MeasureExtents(target_.sources, &state->extents);
    state->extents_epoch = state->epoch;
  }
  return OfArena(state->extents, state->arenas.ExtentsOf(arena), arena);
}

const HugePageCounts& Control::HugePages(ControlState* state, size_t arena) {
  if (state->huge_pages_epoch != state->epoch) {
    state->arenas.MeasureHugePages(target_.sources, &state->huge_pages);
    state->huge_pages_epoch = state->epoch;
  }
  return OfArena(state->huge_pages, state->arenas.HugePagesOf(arena), arena);
}

const CpuLists* Control::Cpus(ControlState* state) {
  if (state->cpus_epoch == state->epoch) return &state->cpus;
  PerCpuCentral& central = target_.sources.central;
  if (state != &numbers_.state) return nullptr;
  if (!state->cpus.Begin(central, target_.sources.metadata)) return nullptr;
  for (size_t c = 1; c < kSizeClassEnd; ++c)
    state->cpus.TakeClass(central, static_cast<SizeClass>(c));
  state->cpus_epoch = state->epoch;
  return &state->cpus;
}

void Control::ResetAfterFork() { lock_.ResetAfterFork(); }

}  // namespace spanmalloc

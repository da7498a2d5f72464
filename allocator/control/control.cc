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
  numbers_.collector.Collect(target_.sources, &state->snapshot, &numbers_.arenas);
  state->locks.Take(target_.sources, lock_);
  ++state->epoch;
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

const FreeExtents& Control::Extents(ControlState* state, size_t arena) {
  if (state->extents_epoch != state->epoch || state->extents_arena != arena) {
    NodeHeaps& heaps = target_.sources.page_heap;
    state->extents = {};
    if (arena == kAllArenas) {
      heaps.AddFreeExtents(&state->extents);
    } else if (arena == 0) {
      heaps.AddNodeExtents(&state->extents);
    } else if (PageHeap* heap = arena < NodeHeaps::kMaxArenas
                                    ? heaps.ArenaHeapAt(static_cast<unsigned>(arena))
                                    : nullptr) {
      heap->AddFreeExtents(&state->extents);
    }
    state->extents_epoch = state->epoch;
    state->extents_arena = arena;
  }
  return state->extents;
}

void Control::ResetAfterFork() { lock_.ResetAfterFork(); }

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// Handlers of stats.* that don't just read a number of the snapshot.
#include "allocator/control/ctl_handlers.h"

namespace spanmalloc {

const StatsSnapshot& SnapshotOf(const CtlCall& call) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return call.control.ArenaAt(*call.state, call.arena());
}

int ReadRss(const CtlCall& call, RssRow row) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  call.value->number = static_cast<uint64_t>(call.control.Rss(call.state)[row]);
  return 0;
}

ExtentStats ReadExtents(const CtlCall& call) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return call.control.Extents(call.state, call.arena()).classes[call.indices[1]];
}

int LargeClassLive(const CtlCall& call) {
  const LargeClassStats& stats = SnapshotOf(call).large_classes[call.indices[1]];
  call.value->number = stats.made - stats.freed;
  return 0;
}

int MutexesReset(const CtlCall& call) {
  return call.control.WithState([](ControlState& state) {
    state.locks.Reset();
    return 0;
  });
}

int ZeroReallocs(const CtlCall& call) {
  call.value->number = call.state->zero_reallocs;
  return 0;
}

int ArenaUptime(const CtlCall& call) {
  const ControlState& state = *call.state;
  if (call.arena() == kDestroyedArenas) return 0;
  call.value->number = state.uptime_ns;
  if (call.arena() == 0 || call.arena() == kAllArenas) return 0;
  const uint64_t created =
      call.target().sources.arenas->CreatedNs(static_cast<unsigned>(call.arena()));
  const uint64_t epoch = state.start_ns + state.uptime_ns;
  call.value->number = created < epoch ? epoch - created : 0;
  return 0;
}

int StatsDss(const CtlCall& call) {
  call.value->string = "disabled";
  return 0;
}

// Arenas that are gone read as the automatic one.
int StatsDirtyDecay(const CtlCall& call) {
  if (call.arena() != kDestroyedArenas) return ArenaDirtyDecay(call);
  call.value->number = static_cast<uint64_t>(call.state->dirty_decay_ms);
  return 0;
}

int StatsMuzzyDecay(const CtlCall& call) {
  if (call.arena() != kDestroyedArenas) return ArenaMuzzyDecay(call);
  call.value->number = static_cast<uint64_t>(call.state->muzzy_decay_ms);
  return 0;
}

int ApproximateActive(const CtlCall& call) {
  call.value->number = call.target().sources.page_heap.Stats().span_pages * kPageSize;
  return 0;
}

}  // namespace spanmalloc

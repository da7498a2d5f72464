// SPDX-License-Identifier: Apache-2.0
//
// Handlers of stats.* that don't just read a number of the snapshot.
#include "allocator/control/ctl_handlers.h"

namespace spanmalloc {
namespace {

constinit const StatsSnapshot kNothing = {};

}  // namespace

const StatsSnapshot& SnapshotOf(const CtlCall& call) {
  return call.arena() == kDestroyedArenas ? kNothing : call.state->snapshot;
}

int ReadRss(const CtlCall& call, RssRow row) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  call.value->number = static_cast<uint64_t>(call.control.Rss(call.state)[row]);
  return 0;
}

ExtentStats ReadExtents(const CtlCall& call) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (call.arena() != 0 && call.arena() != kAllArenas) return {};
  return call.control.Extents(call.state).classes[call.indices[1]];
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
  call.value->number = call.arena() == kDestroyedArenas ? 0 : call.state->uptime_ns;
  return 0;
}

int ApproximateActive(const CtlCall& call) {
  call.value->number = call.target().sources.page_heap.Stats().span_pages * kPageSize;
  return 0;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// Handlers of stats.* that don't just read a number of the snapshot.
#include <errno.h>

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
  return call.control.WithState([&call](ControlState&) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    call.control.ResetLocks();
    return 0;
  });
}

// The locks of one arena or of all. `get`: those meant, of an explicit arena's.
template <typename Get>
LockUse LocksOf(const CtlCall& call, const LockUse& automatic, Get get) {
  const ArenaSnapshots& arenas = call.state->arenas;
  if (call.arena() == 0) return automatic;
  if (call.arena() == kAllArenas) {
    LockUse all = automatic;
    arenas.ForEachLocks([&](const ArenaLocks& locks) { all.acquired.Add(get(locks)); });
    return all;
  }
  const ArenaLocks* locks =
      call.arena() == kDestroyedArenas ? arenas.destroyed_locks() : arenas.LocksOf(call.arena());
  return {locks == nullptr ? os::LockAcquisitions() : get(*locks), {}};
}

LockUse PageHeapLocks(const CtlCall& call) {
  return LocksOf(call, call.state->locks.OfAutomatic(LockRank::kPageHeap),
                 [](const ArenaLocks& locks) { return locks.page_heap; });
}

LockUse BinLocks(const CtlCall& call) {
  const size_t size_class = call.indices[1] + 1;
  return LocksOf(call, call.state->locks.OfAutomaticClass(size_class),
                 [size_class](const ArenaLocks& locks) { return locks.lists[size_class]; });
}

int ReadCpuLists(const CtlCall& call, size_t first, size_t end,
                 uint64_t (*get)(const CpuListStats& stats,
                                 size_t size)) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const CpuLists* cpus = call.control.Cpus(call.state);
  if (cpus == nullptr) return EAGAIN;
  // Lists that were made since the epoch have no numbers yet.
  if (call.indices[0] >= cpus->end()) return 0;
  for (size_t c = first; c < end; ++c) {
    call.value->number += get(cpus->At(call.indices[0], c), kSizeClassTable[c].size);
  }
  return 0;
}

uint64_t SumOf(const CacheDepth& caches, CacheFigure figure, size_t first, size_t end) {
  const bool limits = figure == CacheFigure::kLimit || figure == CacheFigure::kLimitBytes;
  const bool bytes = figure == CacheFigure::kBytes || figure == CacheFigure::kLimitBytes;
  uint64_t sum = 0;
  for (size_t c = first; c < end; ++c) {
    const size_t objects = limits ? caches.limits[c] : caches.objects[c];
    sum += bytes ? objects * kSizeClassTable[c].size : objects;
  }
  return sum;
}

CacheDepth ReadOwnCache(const CtlCall& call) {
  CacheDepth own = {};
  if (call.target().thread_cache_depth != nullptr) {
    call.target().thread_cache_depth(own.objects, own.limits);
  }
  return own;
}

HugePageCounts ReadHugePages(const CtlCall& call) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return call.control.HugePages(call.state, call.arena());
}

int DeclinedHugePages(const CtlCall& call) {
  const HugePageCounts counts = ReadHugePages(call);
  call.value->number = counts.mapped - counts.advised;
  return 0;
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

// SPDX-License-Identifier: Apache-2.0
//
// The handlers that names.def refers to. Those that only read a number of the snapshot are made
// here from the number's name; the others are in the file of their family, *_names.cc.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_CTL_HANDLERS_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_CTL_HANDLERS_H_

#include <errno.h>

#include "allocator/control/ctl_table.h"
#include "allocator/telemetry/stats_dump.h"

namespace spanmalloc {

// A number that never changes.
template <size_t kNumber>
int Fixed(const CtlCall& call) {
  call.value->number = kNumber;
  return 0;
}

// The snapshot that an arena index of stats.arenas.<i> names: an arena's, the sum (4096), or that
// of arenas that were destroyed (4097), of which the counts are left.
const StatsSnapshot& SnapshotOf(const CtlCall& call);

// kGet: a data member or member function of StatsSnapshot, or a function of one.
template <auto kGet>
uint64_t ReadSnapshot(const StatsSnapshot& snapshot) {
  if constexpr (requires { kGet(snapshot); }) {
    return kGet(snapshot);
  } else if constexpr (requires { (snapshot.*kGet)(); }) {
    return (snapshot.*kGet)();
  } else {
    return snapshot.*kGet;
  }
}

template <auto kGet>
int Stat(const CtlCall& call) {
  call.value->number = ReadSnapshot<kGet>(call.state->snapshot);
  return 0;
}

template <auto kGet>
int ArenaStat(const CtlCall& call) {
  call.value->number = ReadSnapshot<kGet>(SnapshotOf(call));
  return 0;
}

// A row of the table of resident memory.
int ReadRss(const CtlCall& call, RssRow row);

template <RssRow kRow>
int Rss(const CtlCall& call) {
  return ReadRss(call, kRow);
}

template <auto kMember>
int BackgroundStat(const CtlCall& call) {
  call.value->number = call.state->snapshot.background.*kMember;
  return 0;
}

template <auto kMember>
int LimitStat(const CtlCall& call) {
  call.value->number = call.state->snapshot.limits.*kMember;
  return 0;
}

// A stage of giving memory back.
template <auto kStage, auto kMember>
int StageStat(const CtlCall& call) {
  call.value->number = (call.state->snapshot.limits.*kStage).*kMember;
  return 0;
}

template <auto kMember>
int IdleCachesStat(const CtlCall& call) {
  call.value->number = call.state->snapshot.idle_caches.*kMember;
  return 0;
}

template <auto kMember>
int RegionStat(const CtlCall& call) {
  call.value->number = call.state->snapshot.regions.*kMember;
  return 0;
}

template <auto kMember>
int HeapStat(const CtlCall& call) {
  call.value->number = call.state->snapshot.heap.*kMember;
  return 0;
}

// A number of pages, in bytes.
template <auto kMember>
int HeapBytes(const CtlCall& call) {
  call.value->number = call.state->snapshot.heap.*kMember * kPageSize;
  return 0;
}

template <auto kMember>
int ArenaHeapStat(const CtlCall& call) {
  call.value->number = SnapshotOf(call).heap.*kMember;
  return 0;
}

// stats.arenas.<i>.bins.<j>: bins are numbered from 0, size classes from 1.
template <auto kMember>
int BinStat(const CtlCall& call) {
  call.value->number = SnapshotOf(call).classes[call.indices[1] + 1].*kMember;
  return 0;
}

template <auto kMember>
uint64_t ReadLockUse(const LockUse& use) {
  if constexpr (requires { (use.*kMember)(); }) {
    return (use.*kMember)();
  } else {
    return use.*kMember;
  }
}

// Locks of the whole process.
template <LockRank kRank, auto kMember>
int LockStat(const CtlCall& call) {
  const LockUse use = call.state->locks.Of(kRank);
  call.value->number = ReadLockUse<kMember>(use);
  return 0;
}

// The same where the names have an arena: of 0 and of all.
template <LockRank kRank, auto kMember>
int SharedLockStat(const CtlCall& call) {
  return call.arena() == 0 || call.arena() == kAllArenas ? LockStat<kRank, kMember>(call) : 0;
}

// Locks of an arena's page heaps, and of its central free lists of a size class.
LockUse PageHeapLocks(const CtlCall& call);
LockUse BinLocks(const CtlCall& call);

template <auto kLocks, auto kMember>
int ArenaLockStat(const CtlCall& call) {
  const LockUse use = kLocks(call);
  call.value->number = ReadLockUse<kMember>(use);
  return 0;
}

// spanmalloc.cpus.<s>: figures of the CPUs' central free lists. kGet: a data member of what is
// counted, or a function of it and the class's size.
template <auto kGet>
uint64_t ReadCpuList(const CpuListStats& stats, size_t size) {
  if constexpr (requires { kGet(stats, size); }) {
    return kGet(stats, size);
  } else if constexpr (requires { stats.list.*kGet; }) {
    return stats.list.*kGet;
  } else {
    return stats.lock.*kGet;
  }
}
inline uint64_t CachedBytes(const CpuListStats& stats, size_t size) {
  return stats.list.array_objects * size;
}
inline uint64_t SpanFreeBytes(const CpuListStats& stats, size_t size) {
  return stats.list.span_objects * size;
}

// Sums over classes [first, end).
int ReadCpuLists(const CtlCall& call, size_t first, size_t end,
                 uint64_t (*get)(const CpuListStats& stats, size_t size));

template <auto kGet>
int CpuStat(const CtlCall& call) {
  return ReadCpuLists(call, 1, kSizeClassEnd, &ReadCpuList<kGet>);
}
template <auto kGet>
int CpuClassStat(const CtlCall& call) {
  const size_t c = call.indices[1] + 1;
  return ReadCpuLists(call, c, c + 1, &ReadCpuList<kGet>);
}

// spanmalloc.thread_caches and cpu_caches, and of the calling thread spanmalloc.thread.cache.
enum class CacheFigure : uint8_t { kObjects, kBytes, kLimit, kLimitBytes };

// Sums over classes [first, end).
uint64_t SumOf(const CacheDepth& caches, CacheFigure figure, size_t first, size_t end);

// Of the class that a name has.
inline uint64_t SumOf(const CtlCall& call, const CacheDepth& caches, CacheFigure figure) {
  return SumOf(caches, figure, call.indices[0] + 1, call.indices[0] + 2);
}

template <CacheDepth ControlState::* kCaches, CacheFigure kFigure>
int CachesStat(const CtlCall& call) {
  call.value->number = SumOf(call.state->*kCaches, kFigure, 1, kSizeClassEnd);
  return 0;
}
template <CacheDepth ControlState::* kCaches, CacheFigure kFigure>
int CachesClassStat(const CtlCall& call) {
  call.value->number = SumOf(call, call.state->*kCaches, kFigure);
  return 0;
}
template <CacheDepth ControlState::* kCaches, auto kMember>
int CacheBudgetStat(const CtlCall& call) {
  call.value->number = static_cast<uint64_t>((call.state->*kCaches).*kMember);
  return 0;
}

CacheDepth ReadOwnCache(const CtlCall& call);

template <CacheFigure kFigure>
int OwnCacheStat(const CtlCall& call) {
  call.value->number = SumOf(ReadOwnCache(call), kFigure, 1, kSizeClassEnd);
  return 0;
}
template <CacheFigure kFigure>
int OwnCacheClassStat(const CtlCall& call) {
  call.value->number = SumOf(call, ReadOwnCache(call), kFigure);
  return 0;
}

// spanmalloc.arenas.<i>.huge_pages
HugePageCounts ReadHugePages(const CtlCall& call);

template <auto kMember>
int HugePageStat(const CtlCall& call) {
  call.value->number = ReadHugePages(call).*kMember;
  return 0;
}

// stats.arenas.<i>.lextents.<k>
template <auto kMember>
int LargeClassStat(const CtlCall& call) {
  call.value->number = SnapshotOf(call).large_classes[call.indices[1]].*kMember;
  return 0;
}

// stats.arenas.<i>.extents.<e>
ExtentStats ReadExtents(const CtlCall& call);

template <auto kMember>
int ExtentStat(const CtlCall& call) {
  call.value->number = ReadExtents(call).*kMember;
  return 0;
}

template <size_t kFact>
int BuildConfig(const CtlCall& call) {
  call.value->number = kBuildFacts[kFact].value;
  return 0;
}

// The options' rows by name.
enum class OptionIndex : size_t {
#define OPTION(name, kind, default_value, bounds, effect, help) name,
#include "allocator/params/options.def"
#undef OPTION
};

int ReadOption(const CtlCall& call, size_t row);

template <OptionIndex kIndex>
int OptionRow(const CtlCall& call) {
  return ReadOption(call, static_cast<size_t>(kIndex));
}

// The handler of names that have access kAbsent.
inline int Absent(const CtlCall&) { return ENOENT; }

// general_names.cc
int Version(const CtlCall& call);
int Epoch(const CtlCall& call);
int BackgroundThreadEnabled(const CtlCall& call);
int MaxBackgroundThreads(const CtlCall& call);
int ConfigMallocConf(const CtlCall& call);
int Names(const CtlCall& call);
int NameCount(const CtlCall& call);
int NameType(const CtlCall& call);
int NameAccess(const CtlCall& call);
int NameUnit(const CtlCall& call);
int NameHelp(const CtlCall& call);
int CpuSource(const CtlCall& call);
int ProfilerActive(const CtlCall& call);
int ProfilerHook(const CtlCall& call);
int SafetyCheckAbort(const CtlCall& call);
int SoftLimit(const CtlCall& call);
int HardLimit(const CtlCall& call);

// thread_names.cc
int ThreadArena(const CtlCall& call);
int ThreadCacheEnabled(const CtlCall& call);
int ThreadCacheFlush(const CtlCall& call);
int ThreadIdle(const CtlCall& call);
int ThreadCounting(const CtlCall& call);
int ThreadAllocated(const CtlCall& call);
int ThreadAllocatedPointer(const CtlCall& call);
int ThreadDeallocated(const CtlCall& call);
int ThreadDeallocatedPointer(const CtlCall& call);
int ThreadPeak(const CtlCall& call);
int ThreadPeakReset(const CtlCall& call);

// tcache_names.cc
int TcacheCreate(const CtlCall& call);
int TcacheFlush(const CtlCall& call);
int TcacheDestroy(const CtlCall& call);

// arena_names.cc
int ArenaInitialized(const CtlCall& call);
int ArenaPurge(const CtlCall& call);
int ArenaDecay(const CtlCall& call);
int ArenaReset(const CtlCall& call);
int ArenaDestroy(const CtlCall& call);
int ArenaDss(const CtlCall& call);
int ArenaDirtyDecay(const CtlCall& call);
int ArenaMuzzyDecay(const CtlCall& call);
int ArenaName(const CtlCall& call);
int ArenaExtentHooks(const CtlCall& call);
int ArenaOversizeThreshold(const CtlCall& call);
int ArenaRetainGrowLimit(const CtlCall& call);

// arenas_names.cc
int NumberOfArenas(const CtlCall& call);
int ArenasDirtyDecay(const CtlCall& call);
int ArenasMuzzyDecay(const CtlCall& call);
int ArenasCreate(const CtlCall& call);
int ArenasCreateExt(const CtlCall& call);
int RefusedExtents(const CtlCall& call);
// Whether a number is a decay time: -1, or milliseconds up to kMaxDecayMs.
bool IsDecay(const CtlValue& value);
// What is written, if it can be used; else nullptr.
ExtentHooks* HooksWritten(const CtlCall& call);
int ArenasLookup(const CtlCall& call);
int BinSize(const CtlCall& call);
int BinRegions(const CtlCall& call);
int BinSlabSize(const CtlCall& call);
int BinShards(const CtlCall& call);
int LargeClassBytes(const CtlCall& call);

// stats_names.cc
int MutexesReset(const CtlCall& call);
int DeclinedHugePages(const CtlCall& call);
int LargeClassLive(const CtlCall& call);
int ZeroReallocs(const CtlCall& call);
int ArenaUptime(const CtlCall& call);
int StatsDss(const CtlCall& call);
int StatsDirtyDecay(const CtlCall& call);
int StatsMuzzyDecay(const CtlCall& call);
int ApproximateActive(const CtlCall& call);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_CTL_HANDLERS_H_

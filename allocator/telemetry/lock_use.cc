// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/lock_use.h"

namespace spanmalloc {

void LockUseTable::Take(const StatsSources& sources, const os::RankedLock& control) {
  uint64_t taken[os::kLockKinds] = {};
  const auto add = [&taken](LockRank rank, const os::RankedLock& lock) {
    taken[os::KindOf(rank)] += lock.taken();
  };
  add(LockRank::kControl, control);
  if (sources.limits != nullptr) add(LockRank::kMemoryLimits, sources.limits->lock());
  add(LockRank::kThreadRegistry, sources.registry.lock());
  taken[os::KindOf(LockRank::kThreadState)] = sources.registry.StateLocksTaken();
  add(LockRank::kShardTable, sources.central.table_lock());
  const auto add_list = [&taken](CentralFreeList& list) {
    taken[os::KindOfClass(list.size_class())] += list.lock().taken();
  };
  sources.central.ForEachList(add_list);
  if (sources.arenas != nullptr) {
    add(LockRank::kShardTable, sources.arenas->table_lock());
    sources.arenas->ForEachList(add_list);
  }
  sources.page_heap.ForEachLock(
      [&taken](const os::RankedLock& lock) { taken[os::KindOf(lock.rank())] += lock.taken(); });
  add(LockRank::kMetadata, sources.metadata.lock());
  for (size_t kind = 0; kind < os::kLockKinds; ++kind) {
    const LockUse& base = base_[kind];
    LockUse& use = uses_[kind];
    use.taken = taken[kind] - base.taken;
    use.waits = os::LockWaitsOf(static_cast<os::LockKind>(kind));
    use.waits.spun -= base.waits.spun;
    use.waits.slept -= base.waits.slept;
    use.waits.sleep_ns -= base.waits.sleep_ns;
  }
}

void LockUseTable::Reset() {
  for (size_t kind = 0; kind < os::kLockKinds; ++kind) {
    LockUse& base = base_[kind];
    base.taken += uses_[kind].taken;
    base.waits.spun += uses_[kind].waits.spun;
    base.waits.slept += uses_[kind].waits.slept;
    base.waits.sleep_ns += uses_[kind].waits.sleep_ns;
  }
  os::ResetLockMaxima();
}

LockUse LockUseTable::Of(LockRank rank) const {
  LockUse use = uses_[os::KindOf(rank)];
  if (rank != LockRank::kCentralFreeList) return use;
  for (size_t c = 0; c < kSizeClassEnd; ++c) {
    const LockUse of_class = OfClass(c);
    use.taken += of_class.taken;
    use.waits.spun += of_class.waits.spun;
    use.waits.slept += of_class.waits.slept;
    use.waits.sleep_ns += of_class.waits.sleep_ns;
    if (of_class.waits.max_ns > use.waits.max_ns) use.waits.max_ns = of_class.waits.max_ns;
    if (of_class.waits.max_waiting > use.waits.max_waiting) {
      use.waits.max_waiting = of_class.waits.max_waiting;
    }
  }
  return use;
}

}  // namespace spanmalloc

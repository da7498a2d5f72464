// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/lock_use.h"

namespace spanmalloc {
namespace {

enum class LockOwner : uint8_t { kAll, kArena };

// Calls visit(os::RankedLock&, LockOwner) for all locks but the control floor's and those of
// threads.
template <typename Visit>
void ForEachLock(const StatsSources& sources, Visit visit) {
  if (sources.limits != nullptr) visit(sources.limits->lock(), LockOwner::kAll);
  visit(sources.registry.lock(), LockOwner::kAll);
  visit(sources.central.table_lock(), LockOwner::kAll);
  sources.central.ForEachList(
      [&visit](CentralFreeList& list) { visit(list.lock(), LockOwner::kAll); });
  if (sources.arenas != nullptr) {
    visit(sources.arenas->table_lock(), LockOwner::kAll);
    sources.arenas->ForEachList(
        [&visit](CentralFreeList& list) { visit(list.lock(), LockOwner::kArena); });
  }
  sources.page_heap.ForEachLock([&visit](os::RankedLock& lock) {
    visit(lock, lock.rank() == LockRank::kArenaHeap ? LockOwner::kArena : LockOwner::kAll);
  });
  visit(sources.metadata.lock(), LockOwner::kAll);
}

}  // namespace

void LockUseTable::Take(const StatsSources& sources, const os::RankedLock& control) {
  for (size_t kind = 0; kind < os::kLockKinds; ++kind) {
    all_[kind] = of_arenas_[kind] = {};
    waits_[kind] = os::LockWaitsOf(static_cast<os::LockKind>(kind));
  }
  all_[control.kind()].Add(control.acquisitions());
  sources.registry.AddStateLocks(&all_[os::KindOf(LockRank::kThreadState)]);
  ForEachLock(sources, [this](const os::RankedLock& lock, LockOwner owner) {
    const os::LockAcquisitions acquired = lock.acquisitions();
    all_[lock.kind()].Add(acquired);
    if (owner == LockOwner::kArena) of_arenas_[lock.kind()].Add(acquired);
  });
}

LockUse LockUseTable::WithoutArenas(size_t kind) const {
  LockUse use = OfKind(kind);
  use.acquired.all -= of_arenas_[kind].all;
  use.acquired.spun -= of_arenas_[kind].spun;
  use.acquired.slept -= of_arenas_[kind].slept;
  return use;
}

LockUse LockUseTable::Of(LockRank rank) const {
  LockUse use = OfKind(os::KindOf(rank));
  if (rank != LockRank::kCentralFreeList) return use;
  for (size_t c = 0; c < kSizeClassEnd; ++c) {
    const LockUse of_class = OfClass(c);
    use.acquired.Add(of_class.acquired);
    use.waits.sleep_ns += of_class.waits.sleep_ns;
    if (of_class.waits.max_ns > use.waits.max_ns) use.waits.max_ns = of_class.waits.max_ns;
    if (of_class.waits.max_waiting > use.waits.max_waiting) {
      use.waits.max_waiting = of_class.waits.max_waiting;
    }
  }
  return use;
}

void ResetLockUse(const StatsSources& sources, os::RankedLock& control) {
  control.ResetAcquisitions();
  sources.registry.ResetStateLocks();
  ForEachLock(sources, [](os::RankedLock& lock, LockOwner) {
    os::LockHolder hold(lock);
    lock.ResetAcquisitions();
  });
  os::ResetLockWaits();
}

}  // namespace spanmalloc

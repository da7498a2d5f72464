// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/cpu_limit.h"

namespace spanmalloc {

void CpuLimit::Look(uint64_t now_ms, os::RankedLock& lock) {
  // No fork falls between opening a file and closing it. Who finds the lock taken goes on: another
  // thread may be reading, and if not there is a next time.
  if (!lock.TryLock()) return;
  const size_t cpus = quota_.Cpus();
  const bool limited = cpus != os::CpuQuota::kUnlimited;
  const uint64_t next_ms = now_ms + (limited ? kLimitedMs : kUnlimitedMs);
  next_look_ms_.store(quota_.told() ? next_ms : kNever, std::memory_order_relaxed);
  lock.Unlock();
  central_.LimitShards(cpus);
}

}  // namespace spanmalloc

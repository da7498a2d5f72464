// SPDX-License-Identifier: Apache-2.0
//
// Keeps the number of shards of the central free lists at the CPUs whose time the process may use:
// reads the CPU quota of its control groups when a second thread has come, and again from time to
// time, since one may be set, changed or taken away while the process runs. (Which CPUs it may run
// on needs no look: the numbers of os/current_cpu.h follow.)
//
// Called by slow paths, in passing.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_CPU_LIMIT_H_
#define SPANMALLOC_ALLOCATOR_CACHE_CPU_LIMIT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/central/per_cpu_central.h"
#include "allocator/os/control_groups.h"
#include "allocator/os/cpu_quota.h"
#include "allocator/os/ranked_lock.h"

namespace spanmalloc {

class CpuLimit {
 public:
  constexpr CpuLimit(os::ControlGroups& groups, PerCpuCentral& central)
      : quota_(groups), central_(central) {}

  // Between two looks: where there is a quota, where there is none, where no file tells.
  static constexpr uint64_t kLimitedMs = 10'000;
  static constexpr uint64_t kUnlimitedMs = 60'000;
  static constexpr uint64_t kNever = ~uint64_t{0};

  // No file is read any more.
  void Disable() { next_look_ms_.store(kNever, std::memory_order_relaxed); }

  // Looks if it is time to. A single thread needs no more than a shard, so it never is for it.
  // `lock` guards the groups.
  void Follow(uint64_t now_ms, size_t threads, os::RankedLock& lock) ABSL_LOCKS_EXCLUDED(lock) {
    if (now_ms >= next_look_ms_.load(std::memory_order_relaxed) && threads > 1) Look(now_ms, lock);
  }

 private:
  void Look(uint64_t now_ms, os::RankedLock& lock) ABSL_LOCKS_EXCLUDED(lock);

  os::CpuQuota quota_;
  PerCpuCentral& central_;
  std::atomic<uint64_t> next_look_ms_{0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_CPU_LIMIT_H_

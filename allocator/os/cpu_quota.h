// SPDX-License-Identifier: Apache-2.0
//
// How much CPU time the process's control groups let it use, of either version of cgroups: the
// quota of each level from the process's own group up to the root that it sees. (Which CPUs it may
// run on needs no question: the numbers of current_cpu.h follow.)
//
// Called by the runtime's maintenance, seldom, under a lock of the caller's.
#ifndef SPANMALLOC_ALLOCATOR_OS_CPU_QUOTA_H_
#define SPANMALLOC_ALLOCATOR_OS_CPU_QUOTA_H_

#include <cstddef>

#include "allocator/os/control_groups.h"

namespace spanmalloc::os {

class CpuQuota {
 public:
  explicit constexpr CpuQuota(ControlGroups& groups) : groups_(groups) {}

  static constexpr size_t kUnlimited = ~size_t{0};

  // The least quota in CPUs, rounded up; kUnlimited if no group has one, or no file tells. Reads at
  // most 1 + 3 * ControlGroups::kMaxLevels files.
  size_t Cpus();

  // Whether the kernel then told a group that the process is in. If not, files may be refused to
  // it.
  bool told() const { return told_; }

 private:
  ControlGroups& groups_;
  bool told_ = false;
};

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_CPU_QUOTA_H_

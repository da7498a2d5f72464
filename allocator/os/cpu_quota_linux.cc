// SPDX-License-Identifier: Apache-2.0
//
// The kernel's texts for cpu_quota.h: cpu.max (version 2), cpu.cfs_quota_us and cpu.cfs_period_us
// (version 1).
#include "allocator/os/cpu_quota.h"

namespace spanmalloc::os {

size_t CpuQuota::Cpus() {
  size_t least = kUnlimited;
  told_ = false;
  groups_.ForEach("cpu", [&](const ControlGroup& group) {
    told_ = true;
    std::string_view text = groups_.Read(group, group.v1() ? "cpu.cfs_quota_us" : "cpu.max");
    if (text.empty()) return;
    // No number, as in "max" and "-1", is no limit.
    const size_t quota = LeadingNumber(CutText(&text, ' '));
    const size_t period =
        LeadingNumber(group.v1() ? groups_.Read(group, "cpu.cfs_period_us") : text);
    const bool limited = quota != 0 && period != 0;
    const size_t cpus = limited ? (quota - 1) / period + 1 : kUnlimited;
    if (cpus < least) least = cpus;
  });
  return least;
}

}  // namespace spanmalloc::os

// SPDX-License-Identifier: Apache-2.0
//
// clock_gettime for clock.h; the vDSO answers without a system call.
#include <time.h>

#include "allocator/os/clock.h"

namespace spanmalloc::os {

uint64_t MonotonicClock::NowMs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

uint64_t MonotonicNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace spanmalloc::os

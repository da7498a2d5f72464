// SPDX-License-Identifier: Apache-2.0
//
// clock_gettime for clock.h; the vDSO answers without a system call.
#include <time.h>

#include "allocator/os/clock.h"
#include "allocator/os/system_call.h"

namespace spanmalloc::os {
namespace {

uint64_t Nanoseconds(const timespec& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1000000000 + static_cast<uint64_t>(time.tv_nsec);
}

uint64_t NanosecondsOfKernel(clockid_t clock) {
  timespec now = {};
  const long result = SystemCall(SYS_clock_gettime, clock, AsArgument(&now));
  return IsError(result) ? 0 : Nanoseconds(now);
}

}  // namespace

uint64_t MonotonicClock::NowMs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

uint64_t MonotonicNs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Nanoseconds(now);
}

uint64_t MonotonicNsOfKernel() { return NanosecondsOfKernel(CLOCK_MONOTONIC); }

uint64_t ThreadCpuNs() { return NanosecondsOfKernel(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace spanmalloc::os

// SPDX-License-Identifier: Apache-2.0
//
// The clocks against the C library's.
#include "allocator/os/clock.h"

#include <time.h>

#include <cstdint>

#include "gtest/gtest.h"

namespace spanmalloc::os {
namespace {

uint64_t LibraryNs(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

TEST(ClockTest, MillisecondsLieBetweenTwoReadingsOfTheCoarseClock) {
  MonotonicClock clock;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t before = LibraryNs(CLOCK_MONOTONIC_COARSE) / 1000000;
    const uint64_t now = clock.NowMs();
    ASSERT_GE(now, before);
    ASSERT_LE(now, LibraryNs(CLOCK_MONOTONIC_COARSE) / 1000000);
  }
}

TEST(ClockTest, NanosecondsLieBetweenTwoReadings) {
  for (int i = 0; i < 1000; ++i) {
    const uint64_t before = LibraryNs(CLOCK_MONOTONIC);
    const uint64_t now = MonotonicNs();
    ASSERT_GE(now, before);
    ASSERT_LE(now, LibraryNs(CLOCK_MONOTONIC));
  }
}

TEST(ClockTest, TheKernelTellsTheSameTime) {
  const uint64_t before = MonotonicNs();
  const uint64_t now = MonotonicNsOfKernel();
  EXPECT_GE(now, before);
  EXPECT_LE(now, MonotonicNs());
}

TEST(ClockTest, AThreadsCpuTimeLiesBetweenTwoReadingsOfIt) {
  const uint64_t before = LibraryNs(CLOCK_THREAD_CPUTIME_ID);
  const uint64_t now = ThreadCpuNs();
  EXPECT_GE(now, before);
  EXPECT_LE(now, LibraryNs(CLOCK_THREAD_CPUTIME_ID));
}

}  // namespace
}  // namespace spanmalloc::os

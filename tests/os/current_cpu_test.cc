// SPDX-License-Identifier: Apache-2.0
//
// The CPU's number: below the number of CPUs that the process may use, whatever its source and
// whichever these CPUs are, and always the same for one CPU where the source is its own number.
#include "allocator/os/current_cpu.h"

#include <sched.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace spanmalloc::os {
namespace {

std::vector<int> AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  ASSERT_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

TEST(CurrentCpuTest, UsableCpusAreThoseOfTheAffinityMask) {
  const std::vector<int> cpus = AllowedCpus();
  EXPECT_EQ(UsableCpus(), cpus.size());
  std::thread([&] {
    PinTo(cpus.back());
    EXPECT_EQ(UsableCpus(), 1u);
  }).join();
}

// Before the test that detects a source.
TEST(CurrentCpuTest, CpusAreNumberedInTheOrderInWhichTheyAreMet) {
  EXPECT_EQ(cpu_number_source(), CpuNumberSource::kGetCpu);
  std::vector<int> cpus = AllowedCpus();
  std::reverse(cpus.begin(), cpus.end());
  for (int round = 0; round < 2; ++round) {
    for (uint32_t number = 0; number < cpus.size(); ++number) {
      std::thread([&, number] {
        PinTo(cpus[number]);
        EXPECT_EQ(CurrentCpu(), number);
      }).join();
    }
  }
}

TEST(CurrentCpuTest, APinnedThreadReadsASmallNumber) {
  DetectCpuNumberSource();
  const std::vector<int> cpus = AllowedCpus();
  for (int cpu : cpus) {
    std::thread([&, cpu] {
      PinTo(cpu);
      const uint32_t number = CurrentCpu();
      for (int i = 0; i < 1000; ++i) {
        ASSERT_LT(CurrentCpu(), cpus.size());
        // A concurrency id may change whenever the thread has been off its CPU.
        if (cpu_number_source() != CpuNumberSource::kConcurrencyId) {
          ASSERT_EQ(CurrentCpu(), number);
        }
      }
    }).join();
  }
}

}  // namespace
}  // namespace spanmalloc::os

// SPDX-License-Identifier: Apache-2.0
//
// The CPU's number: bounded whatever its source, and equal to the CPU a thread is pinned to where
// the source is the CPU's own number.
#include "allocator/os/current_cpu.h"

#include <sched.h>
#include <unistd.h>

#include <set>
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
TEST(CurrentCpuTest, AsksTheCLibraryUntilASourceIsDetected) {
  EXPECT_EQ(cpu_number_source(), CpuNumberSource::kGetCpu);
  for (int cpu : AllowedCpus()) {
    std::thread([cpu] {
      PinTo(cpu);
      EXPECT_EQ(CurrentCpu(), static_cast<uint32_t>(cpu));
    }).join();
  }
}

TEST(CurrentCpuTest, APinnedThreadReadsItsNumber) {
  DetectCpuNumberSource();
  const auto processors = static_cast<uint32_t>(sysconf(_SC_NPROCESSORS_CONF));
  for (int cpu : AllowedCpus()) {
    std::thread([cpu, processors] {
      PinTo(cpu);
      for (int i = 0; i < 1000; ++i) {
        if (cpu_number_source() == CpuNumberSource::kConcurrencyId) {
          ASSERT_LT(CurrentCpu(), processors);
        } else {
          ASSERT_EQ(CurrentCpu(), static_cast<uint32_t>(cpu));
        }
      }
    }).join();
  }
}

}  // namespace
}  // namespace spanmalloc::os

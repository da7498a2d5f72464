// SPDX-License-Identifier: Apache-2.0
//
// The CPU's number where the C library can't tell it: nothing but a number comes of that, and errno
// stays as it was.
#include <errno.h>
#include <sched.h>

#include "allocator/os/current_cpu.h"
#include "gtest/gtest.h"

// In place of the C library's.
extern "C" int sched_getcpu() noexcept {
  errno = ENOSYS;
  return -1;
}

namespace spanmalloc::os {
namespace {

TEST(CurrentCpuRefusedTest, LeavesErrnoAlone) {
  ASSERT_EQ(cpu_number_source(), CpuNumberSource::kGetCpu);
  errno = ERANGE;
  EXPECT_EQ(CurrentCpu(), 0u);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(CpuNumber(), ~0u);
  EXPECT_EQ(errno, ERANGE);
}

}  // namespace
}  // namespace spanmalloc::os

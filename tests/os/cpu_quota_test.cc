// SPDX-License-Identifier: Apache-2.0
//
// The CPU quota, out of files of both versions of cgroups.
#include "allocator/os/cpu_quota.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/support/fake_text_files.h"

namespace spanmalloc::os {
namespace {

class CpuQuotaTest : public testing::Test {
 protected:
  FakeTextFiles on_;
  ControlGroups::Texts texts_;
  ControlGroups groups_{on_, texts_};
  CpuQuota quota_{groups_};
};

TEST_F(CpuQuotaTest, WithoutFilesThereIsNoLimit) {
  EXPECT_EQ(quota_.Cpus(), CpuQuota::kUnlimited);
  on_.files["/proc/self/cgroup"] = "0::/user.slice\n";
  EXPECT_EQ(quota_.Cpus(), CpuQuota::kUnlimited);
}

TEST_F(CpuQuotaTest, Version2IsRoundedUp) {
  on_.files["/proc/self/cgroup"] = "0::/\n";
  on_.files["/sys/fs/cgroup/cpu.max"] = "200000 100000\n";
  EXPECT_EQ(quota_.Cpus(), 2u);
  on_.files["/sys/fs/cgroup/cpu.max"] = "200001 100000\n";
  EXPECT_EQ(quota_.Cpus(), 3u);
  on_.files["/sys/fs/cgroup/cpu.max"] = "1000 100000\n";
  EXPECT_EQ(quota_.Cpus(), 1u);
  on_.files["/sys/fs/cgroup/cpu.max"] = "max 100000\n";
  EXPECT_EQ(quota_.Cpus(), CpuQuota::kUnlimited);
}

TEST_F(CpuQuotaTest, Version1NamesTheControllerAmongOthers) {
  on_.files["/proc/self/cgroup"] =
      "5:cpuset:/elsewhere\n4:cpu,cpuacct:/docker/one\n3:memory:/docker/one\n0::/docker/one\n";
  on_.files["/sys/fs/cgroup/cpu/docker/one/cpu.cfs_quota_us"] = "350000\n";
  on_.files["/sys/fs/cgroup/cpu/docker/one/cpu.cfs_period_us"] = "100000\n";
  EXPECT_EQ(quota_.Cpus(), 4u);
  on_.files["/sys/fs/cgroup/cpu/docker/one/cpu.cfs_quota_us"] = "-1\n";
  EXPECT_EQ(quota_.Cpus(), CpuQuota::kUnlimited);
}

// A container sees its own group as the root of the mount, by whatever path the host knows it.
TEST_F(CpuQuotaTest, TheRootIsLookedAtWhereThePathIsTheHosts) {
  on_.files["/proc/self/cgroup"] = "2:cpuacct,cpu:/kubepods/pod1/abc\n";
  on_.files["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "100000\n";
  on_.files["/sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "100000\n";
  EXPECT_EQ(quota_.Cpus(), 1u);
}

TEST_F(CpuQuotaTest, TheLeastOfAllLevelsCounts) {
  on_.files["/proc/self/cgroup"] = "0::/system.slice/some.service/inner";
  on_.files["/sys/fs/cgroup/system.slice/some.service/inner/cpu.max"] = "800000 100000\n";
  on_.files["/sys/fs/cgroup/system.slice/some.service/cpu.max"] = "300000 100000\n";
  on_.files["/sys/fs/cgroup/system.slice/cpu.max"] = "max 100000\n";
  EXPECT_EQ(quota_.Cpus(), 3u);
}

TEST_F(CpuQuotaTest, NonsenseIsNoLimit) {
  on_.files["/proc/self/cgroup"] = "0::/\n";
  for (const char* text :
       {"\n", "0 100000", "100000", "100000 0", "x y", "-5 100000", "99999999999999999999999 1"}) {
    on_.files["/sys/fs/cgroup/cpu.max"] = text;
    EXPECT_GT(quota_.Cpus(), size_t{1} << 32) << text;
  }
}

TEST_F(CpuQuotaTest, LongTextsAreBounded) {
  std::string deep;
  for (int level = 0; level < 1000; ++level) deep += "/x";
  on_.files["/proc/self/cgroup"] = "0::" + deep + "\n";
  EXPECT_EQ(quota_.Cpus(), CpuQuota::kUnlimited);
  EXPECT_LT(on_.reads, 100);
  on_.files["/proc/self/cgroup"] = std::string(100000, ':');
  EXPECT_EQ(quota_.Cpus(), CpuQuota::kUnlimited);
  on_.files["/proc/self/cgroup"] = "0::/" + std::string(3000, 'x');
  EXPECT_EQ(quota_.Cpus(), CpuQuota::kUnlimited);
}

TEST(CpuQuotaOfTheKernelTest, ThisProcessHasAnAnswer) {
  KernelFiles files;
  ControlGroups::Texts texts;
  ControlGroups groups(files, texts);
  CpuQuota quota(groups);
  const size_t cpus = quota.Cpus();
  EXPECT_EQ(quota.Cpus(), cpus);
}

}  // namespace
}  // namespace spanmalloc::os

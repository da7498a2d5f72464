// SPDX-License-Identifier: Apache-2.0
//
// The number of shards follows a CPU quota that is there at first, comes later, changes or goes.
#include "allocator/cache/cpu_limit.h"

#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

class CpuLimitTest : public testing::Test {
 protected:
  CpuLimitTest() {
    files_.files["/proc/self/cgroup"] = "0::/a\n";
    on_.registry.Create();
  }

  void SetQuota(const char* text) { files_.files["/sys/fs/cgroup/a/cpu.max"] = text; }

  void Follow(uint64_t after_ms) {
    on_.clock.Advance(after_ms);
    limit_.Follow(on_.clock.NowMs(), on_.registry.threads(), on_.limits.lock());
  }

  CachesOnFakes on_;
  FakeTextFiles& files_ = on_.files;
  CpuLimit limit_{on_.groups, on_.central};
};

TEST_F(CpuLimitTest, ASingleThreadNeverReads) {
  Follow(0);
  Follow(1'000'000);
  EXPECT_EQ(files_.reads, 0);
}

TEST_F(CpuLimitTest, TheSecondThreadReadsAtOnce) {
  on_.registry.Create();
  Follow(0);
  EXPECT_NE(files_.reads, 0);
}

TEST_F(CpuLimitTest, AQuotaIsFollowedAtOnceAndAgainAsItChanges) {
  on_.registry.Create();
  SetQuota("100000 100000\n");
  Follow(0);
  EXPECT_EQ(on_.central.shard_limit(), 1u);
  SetQuota("200000 100000\n");
  Follow(CpuLimit::kLimitedMs - 1);
  EXPECT_EQ(on_.central.shard_limit(), 1u);
  Follow(1);
  EXPECT_EQ(on_.central.shard_limit(), 2u);
  SetQuota("max 100000\n");
  Follow(CpuLimit::kLimitedMs);
  EXPECT_EQ(on_.central.shard_limit(), PerCpuCentral::kMaxShards);
}

TEST_F(CpuLimitTest, AQuotaThatComesLaterIsFollowed) {
  on_.registry.Create();
  Follow(0);
  EXPECT_EQ(on_.central.shard_limit(), PerCpuCentral::kMaxShards);
  const int reads = files_.reads;
  SetQuota("300000 100000\n");
  Follow(CpuLimit::kUnlimitedMs - 1);
  EXPECT_EQ(files_.reads, reads) << "not often where there is none";
  Follow(1);
  EXPECT_EQ(on_.central.shard_limit(), 3u);
}

TEST_F(CpuLimitTest, AMoveToAnotherGroupIsFollowed) {
  on_.registry.Create();
  Follow(0);
  files_.files["/proc/self/cgroup"] = "0::/b\n";
  files_.files["/sys/fs/cgroup/b/cpu.max"] = "100000 100000\n";
  Follow(CpuLimit::kUnlimitedMs);
  EXPECT_EQ(on_.central.shard_limit(), 1u);
}

TEST_F(CpuLimitTest, WhereFilesAreRefusedItDoesNotAskAgain) {
  on_.registry.Create();
  files_.files.clear();
  Follow(0);
  const int reads = files_.reads;
  Follow(1'000'000);
  EXPECT_EQ(files_.reads, reads);
  EXPECT_EQ(on_.central.shard_limit(), PerCpuCentral::kMaxShards);
}

TEST_F(CpuLimitTest, DisabledItReadsNothing) {
  on_.registry.Create();
  SetQuota("100000 100000\n");
  limit_.Disable();
  Follow(0);
  Follow(1'000'000);
  EXPECT_EQ(files_.reads, 0);
  EXPECT_EQ(on_.central.shard_limit(), PerCpuCentral::kMaxShards);
}

TEST_F(CpuLimitTest, WhoFindsTheLockTakenLooksNextTime) {
  on_.registry.Create();
  SetQuota("100000 100000\n");
  {
    os::LockHolder hold(on_.limits.lock());
    Follow(0);
    EXPECT_EQ(files_.reads, 0);
  }
  Follow(1);
  EXPECT_EQ(on_.central.shard_limit(), 1u);
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// Memory limits, usage and pressure, out of files of both versions of cgroups.
#include "allocator/os/group_memory.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/support/fake_text_files.h"

namespace spanmalloc::os {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

std::string MiB(size_t count) { return std::to_string(count * kMiB) + "\n"; }

class GroupMemoryTest : public testing::Test {
 protected:
  std::string& File(const std::string& path) { return on_.files["/sys/fs/cgroup" + path]; }

  FakeTextFiles on_;
  ControlGroups::Texts texts_;
  ControlGroups groups_{on_, texts_};
  GroupMemory memory_{groups_};
};

TEST_F(GroupMemoryTest, WithoutFilesThereIsNoLimit) {
  EXPECT_FALSE(memory_.Read().told);
  on_.files["/proc/self/cgroup"] = "0::/user.slice\n";
  EXPECT_FALSE(memory_.Read().told);
  EXPECT_FALSE(memory_.Read().limited());
}

TEST_F(GroupMemoryTest, Version2) {
  on_.files["/proc/self/cgroup"] = "0::/\n";
  File("/memory.max") = MiB(512);
  File("/memory.high") = MiB(400);
  File("/memory.current") = MiB(100);
  GroupMemoryReading reading = memory_.Read();
  EXPECT_TRUE(reading.told);
  EXPECT_EQ(reading.max.limit, 512 * kMiB);
  EXPECT_EQ(reading.max.room, 412 * kMiB);
  EXPECT_EQ(reading.high.limit, 400 * kMiB);
  EXPECT_EQ(reading.high.room, 300 * kMiB);
  EXPECT_EQ(reading.usage, 100 * kMiB);
  EXPECT_EQ(reading.pressure, 0u);
  File("/memory.current") = MiB(600);
  reading = memory_.Read();
  EXPECT_EQ(reading.max.room, 0u);
  EXPECT_EQ(reading.high.room, 0u);
}

TEST_F(GroupMemoryTest, MaxIsNoLimit) {
  on_.files["/proc/self/cgroup"] = "0::/a\n";
  File("/a/memory.max") = "max\n";
  File("/a/memory.high") = "max\n";
  File("/a/memory.current") = MiB(100);
  EXPECT_TRUE(memory_.Read().told);
  EXPECT_FALSE(memory_.Read().limited());
  EXPECT_EQ(memory_.Read().usage, 100 * kMiB);
}

TEST_F(GroupMemoryTest, Version1NamesTheControllerAmongOthers) {
  on_.files["/proc/self/cgroup"] = "5:cpuset:/elsewhere\n4:hugetlb,memory:/docker/one\n0::/\n";
  File("/memory/docker/one/memory.limit_in_bytes") = MiB(200);
  File("/memory/docker/one/memory.soft_limit_in_bytes") = "9223372036854771712\n";
  File("/memory/docker/one/memory.usage_in_bytes") = MiB(50);
  const GroupMemoryReading reading = memory_.Read();
  EXPECT_EQ(reading.max.limit, 200 * kMiB);
  EXPECT_EQ(reading.max.room, 150 * kMiB);
  EXPECT_FALSE(reading.high.exists());
  File("/memory/docker/one/memory.limit_in_bytes") = "9223372036854771712\n";
  EXPECT_FALSE(memory_.Read().limited());
  File("/memory/docker/one/memory.soft_limit_in_bytes") = MiB(80);
  EXPECT_EQ(memory_.Read().high.room, 30 * kMiB);
}

// A container sees its own group as the root of the mount, by whatever path the host knows it.
TEST_F(GroupMemoryTest, TheRootIsLookedAtWhereThePathIsTheHosts) {
  on_.files["/proc/self/cgroup"] = "2:memory:/kubepods/pod1/abc\n";
  File("/memory/memory.limit_in_bytes") = MiB(64);
  File("/memory/memory.usage_in_bytes") = MiB(60);
  EXPECT_EQ(memory_.Read().max.room, 4 * kMiB);
}

TEST_F(GroupMemoryTest, TheLevelWithTheLeastRoomCounts) {
  on_.files["/proc/self/cgroup"] = "0::/system.slice/some.service/inner\n";
  File("/system.slice/some.service/inner/memory.max") = MiB(100);
  File("/system.slice/some.service/inner/memory.high") = "max\n";
  File("/system.slice/some.service/inner/memory.current") = MiB(10);
  File("/system.slice/some.service/memory.max") = MiB(1000);
  File("/system.slice/some.service/memory.high") = MiB(990);
  File("/system.slice/some.service/memory.current") = MiB(980);
  File("/system.slice/memory.max") = "max\n";
  const GroupMemoryReading reading = memory_.Read();
  EXPECT_EQ(reading.max.limit, 1000 * kMiB);
  EXPECT_EQ(reading.max.room, 20 * kMiB);
  EXPECT_EQ(reading.high.room, 10 * kMiB);
  EXPECT_EQ(reading.usage, 10 * kMiB) << "its own group's";
}

TEST_F(GroupMemoryTest, FileCacheThatCanBeDroppedLeavesRoom) {
  on_.files["/proc/self/cgroup"] = "0::/\n";
  File("/memory.max") = MiB(100);
  File("/memory.current") = MiB(98);
  File("/memory.stat") = "anon 5\ninactive_anon 7\ninactive_file " + MiB(30) + "active_file 9\n";
  EXPECT_EQ(memory_.Read().max.room, 32 * kMiB);
  File("/memory.stat") = "anon 5\n";
  EXPECT_EQ(memory_.Read().max.room, 2 * kMiB);
  File("/memory.stat") = "inactive_file " + MiB(300);
  EXPECT_EQ(memory_.Read().max.room, 100 * kMiB);
  on_.files["/proc/self/cgroup"] = "3:memory:/\n";
  File("/memory/memory.limit_in_bytes") = MiB(100);
  File("/memory/memory.usage_in_bytes") = MiB(98);
  File("/memory/memory.stat") = "inactive_file 1\ntotal_inactive_file " + MiB(30);
  EXPECT_EQ(memory_.Read().max.room, 32 * kMiB);
}

TEST_F(GroupMemoryTest, Pressure) {
  on_.files["/proc/self/cgroup"] = "0::/a\n";
  File("/a/memory.max") = "max\n";
  File("/memory.pressure") = "some avg10=99.00 avg60=0.00 avg300=0.00 total=0\n";
  EXPECT_EQ(memory_.Read().pressure, 0u) << "another group's";
  const struct {
    const char* text;
    uint32_t bp;
  } kTexts[] = {{"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=9.99", 0},
                {"some avg10=12.34 avg60=0.00 avg300=0.00 total=0\nfull avg10=9.99", 1234},
                {"some avg10=0.05 avg60=0.00", 5},
                {"some avg10=7.5 avg60=0.00", 750},
                {"some avg10=100.00 avg60=0.00", 10'000},
                {"some avg10=123456789.00", 10'000},
                {"some avg10=", 0},
                {"some", 0},
                {"full avg10=12.34", 0},
                {"nonsense=5", 0}};
  for (const auto& [text, bp] : kTexts) {
    File("/a/memory.pressure") = text;
    EXPECT_EQ(memory_.Read().pressure, bp) << text;
  }
}

TEST_F(GroupMemoryTest, NonsenseIsNoLimit) {
  on_.files["/proc/self/cgroup"] = "0::/\n";
  for (const char* text : {"\n", "0\n", "-1\n", "x y", "-5 100000", "99999999999999999999999 1"}) {
    File("/memory.max") = text;
    EXPECT_FALSE(memory_.Read().limited()) << text;
  }
  File("/memory.max") = MiB(100);
  EXPECT_EQ(memory_.Read().max.room, 100 * kMiB) << "usage unknown";
  on_.files["/proc/self/cgroup"] = std::string(100000, ':');
  EXPECT_FALSE(memory_.Read().told);
}

TEST_F(GroupMemoryTest, DeepGroupsAreBounded) {
  std::string deep;
  for (int level = 0; level < 1000; ++level) deep += "/x";
  on_.files["/proc/self/cgroup"] = "0::" + deep + "\n";
  EXPECT_FALSE(memory_.Read().told);
  EXPECT_LT(on_.reads, 100);
}

TEST(GroupMemoryOfTheKernelTest, ThisProcessHasAnAnswer) {
  KernelFiles files;
  ControlGroups::Texts texts;
  ControlGroups groups(files, texts);
  GroupMemory memory(groups);
  const GroupMemoryReading reading = memory.Read();
  EXPECT_EQ(reading.limited(), memory.Read().limited());
}

}  // namespace
}  // namespace spanmalloc::os

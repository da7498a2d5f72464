// SPDX-License-Identifier: Apache-2.0
//
// Which groups are looked at, and the files' seam. (What is made of their texts: cpu_quota_test,
// group_memory_test.)
#include "allocator/os/control_groups.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/fake_text_files.h"

namespace spanmalloc::os {
namespace {

class ControlGroupsTest : public testing::Test {
 protected:
  std::vector<std::string> Visited(const char* controller) {
    std::vector<std::string> visited;
    groups_.ForEach(controller, [&](const ControlGroup& group) {
      visited.push_back(std::to_string(group.level) + (group.v1() ? " v1 " : " v2 ") +
                        std::string(group.path));
    });
    return visited;
  }
  using Texts = std::vector<std::string>;

  FakeTextFiles on_;
  ControlGroups::Texts texts_;
  ControlGroups groups_{on_, texts_};
};

TEST_F(ControlGroupsTest, EveryLevelOfTheControllersHierarchies) {
  EXPECT_EQ(Visited("memory"), Texts());
  on_.files["/proc/self/cgroup"] = "4:cpu,cpuacct:/one\n3:memory:/docker/two\n0::/\n";
  EXPECT_EQ(Visited("memory"), (Texts{"0 v1 /docker/two", "1 v1 /docker", "2 v1 ", "0 v2 "}));
  EXPECT_EQ(Visited("cpu"), (Texts{"0 v1 /one", "1 v1 ", "0 v2 "}));
  EXPECT_EQ(Visited("cpuacc"), (Texts{"0 v2 "}));
}

TEST_F(ControlGroupsTest, ReadsWhereSystemsMountThem) {
  on_.files["/sys/fs/cgroup/memory/a/b/file"] = "one";
  on_.files["/sys/fs/cgroup/a/b/file"] = "two";
  EXPECT_EQ(groups_.Read({"memory", "/a/b", 0}, "file"), "one");
  EXPECT_EQ(groups_.Read({"", "/a/b", 0}, "file"), "two");
  EXPECT_EQ(groups_.Read({"", "/a", 0}, "file"), "");
  const std::string deep(2000, 'x');
  EXPECT_EQ(groups_.Read({"", deep, 0}, "file"), "");
}

TEST(KernelFilesTest, ReadsTheStartOfAFileAndLeavesNothingOpen) {
  const int next = open("/dev/null", O_RDONLY);
  close(next);
  KernelFiles files;
  char text[16] = {};
  errno = 7;
  EXPECT_EQ(files.Read("/proc/self/status", text, 5), 5u);
  EXPECT_STREQ(text, "Name:");
  EXPECT_EQ(files.Read("/no/such/file", text, 5), 0u);
  EXPECT_EQ(files.Read("/proc", text, 5), 0u);
  EXPECT_EQ(errno, 7);
  const int again = open("/dev/null", O_RDONLY);
  close(again);
  EXPECT_EQ(again, next);
}

}  // namespace
}  // namespace spanmalloc::os

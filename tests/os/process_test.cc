// SPDX-License-Identifier: Apache-2.0
//
// What the allocator reads about its process at start.
#include "allocator/os/process.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace spanmalloc::os {
namespace {

TEST(ProcessTest, AddressSpaceLimitFollowsTheSoftLimit) {
  rlimit old = {};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &old), 0);
  EXPECT_EQ(AddressSpaceLimit(), old.rlim_cur == RLIM_INFINITY ? kNoLimit : old.rlim_cur);
  // Lower than any hard limit here may be, and far above what a sanitizer reserves.
  const size_t soft = size_t{1} << 46;
  if (old.rlim_max != RLIM_INFINITY && old.rlim_max < soft) GTEST_SKIP() << "a hard limit is set";
  rlimit lower = {soft, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &lower), 0);
  EXPECT_EQ(AddressSpaceLimit(), soft);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &old), 0);
}

TEST(ProcessTest, EnvironmentFindsWholeNamesOnly) {
  ASSERT_EQ(setenv("SPANMALLOC_TEST_LONG", "of the longer name", 1), 0);
  ASSERT_EQ(setenv("SPANMALLOC_TEST", "a=b:c", 1), 0);
  EXPECT_STREQ(Environment("SPANMALLOC_TEST"), "a=b:c");
  EXPECT_STREQ(Environment("SPANMALLOC_TEST_LONG"), "of the longer name");
  EXPECT_EQ(Environment("SPANMALLOC_TES"), nullptr);
  ASSERT_EQ(setenv("SPANMALLOC_TEST", "", 1), 0);
  EXPECT_STREQ(Environment("SPANMALLOC_TEST"), "");
  ASSERT_EQ(unsetenv("SPANMALLOC_TEST"), 0);
  EXPECT_EQ(Environment("SPANMALLOC_TEST"), nullptr);
}

TEST(ProcessTest, EnvironmentMayBeGone) {
  char** const old = environ;
  environ = nullptr;
  EXPECT_EQ(Environment("PATH"), nullptr);
  environ = old;
}

TEST(ProcessTest, LinkTargetIsReadWholeOrNotAtAll) {
  const std::string link = ::testing::TempDir() + "/link";
  unlink(link.c_str());
  char text[16] = "untouched";
  EXPECT_FALSE(LinkTarget(link.c_str(), text, sizeof(text)));
  EXPECT_STREQ(text, "untouched");
  ASSERT_EQ(symlink("fifteen letters", link.c_str()), 0);
  EXPECT_TRUE(LinkTarget(link.c_str(), text, sizeof(text)));
  EXPECT_STREQ(text, "fifteen letters");
  EXPECT_FALSE(LinkTarget(link.c_str(), text, sizeof(text) - 1));
  ASSERT_EQ(unlink(link.c_str()), 0);
}

TEST(ProcessTest, PageSizeIsTheSystems) {
  EXPECT_EQ(SystemPageSize(), static_cast<size_t>(sysconf(_SC_PAGESIZE)));
}

TEST(ProcessTest, RandomBitsAreTheKernelsAndStay) {
  uint64_t expected;
  memcpy(&expected, reinterpret_cast<const void*>(getauxval(AT_RANDOM)), sizeof(expected));
  EXPECT_EQ(ProcessRandom(), expected);
}

}  // namespace
}  // namespace spanmalloc::os

// SPDX-License-Identifier: Apache-2.0
//
// The hooks at a thread's end and around fork().
#include "allocator/os/thread.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace spanmalloc::os {
namespace {

std::atomic<int> ended{0};
std::atomic<void*> ended_value{nullptr};

void OnEnd(void* value) {
  ++ended;
  ended_value = value;
}

TEST(ThreadExitHookTest, RunsOnceOnEachThreadThatArmedIt) {
  static ThreadExitHook hook;
  ASSERT_TRUE(hook.Create(&OnEnd));
  int value = 0;
  std::thread([&] { hook.Arm(&value); }).join();
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(ended_value, &value);
  std::thread([] {}).join();
  EXPECT_EQ(ended, 1) << "ran for a thread that did not arm it";
}

TEST(ThreadExitHookTest, ArmingAHookThatWasNotCreatedDoesNothing) {
  ThreadExitHook hook;
  int value = 0;
  std::thread([&] { hook.Arm(&value); }).join();
}

int prepared = 0;
int in_parent = 0;
int in_child = 0;

TEST(ForkHandlersTest, RunOnTheirSides) {
  RegisterForkHandlers([] { ++prepared; }, [] { ++in_parent; }, [] { ++in_child; });
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(prepared == 1 && in_parent == 0 && in_child == 1 ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(prepared, 1);
  EXPECT_EQ(in_parent, 1);
  EXPECT_EQ(in_child, 0);
}

}  // namespace
}  // namespace spanmalloc::os

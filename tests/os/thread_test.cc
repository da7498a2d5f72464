// SPDX-License-Identifier: Apache-2.0
//
// The hooks at a thread's end and around fork(), a thread of the allocator's own, and its sleep.
#include "allocator/os/thread.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "allocator/os/clock.h"
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

std::atomic<int> blocked{-1};
char name[16];
std::atomic<bool> ran{false};

void LookAround() {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  blocked = sigismember(&mask, SIGTERM) + sigismember(&mask, SIGSEGV) + sigismember(&mask, SIGUSR1);
  prctl(PR_GET_NAME, name);
  ran = true;
}

TEST(StartThreadTest, RunsNamedAndWithoutSignals) {
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  errno = 77;
  ASSERT_TRUE(StartThread(&LookAround));
  EXPECT_EQ(errno, 77);
  while (!ran) Yield();
  EXPECT_EQ(blocked, 3);
  EXPECT_STREQ(name, "spanmalloc");
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

TEST(SleeperTest, SleepsForItsTime) {
  Sleeper sleeper;
  const uint64_t start_ns = MonotonicNs();
  sleeper.Sleep(20);
  EXPECT_GE(MonotonicNs() - start_ns, 20'000'000u);
}

TEST(SleeperTest, AWakeEndsTheSleepBeforeOrDuringIt) {
  Sleeper sleeper;
  sleeper.Wake();
  sleeper.Sleep(Sleeper::kForever);
  std::thread waker([&] {
    usleep(2000);
    sleeper.Wake();
  });
  sleeper.Sleep(Sleeper::kForever);
  waker.join();
  sleeper.Wake();
  sleeper.Reset();
  sleeper.Sleep(1);  // not woken, and over all the same
}

}  // namespace
}  // namespace spanmalloc::os

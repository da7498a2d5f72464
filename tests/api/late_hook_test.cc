// SPDX-License-Identifier: Apache-2.0
//
// The first hook of a process in which threads are at work already, each with hits alone: from then
// on it is told of all their calls. A test of its own, since a first hook there is but once.
#include <gtest/gtest.h>
#include <spanmalloc/malloc_hook_c.h>
#include <stdlib.h>

#include <atomic>
#include <thread>
#include <vector>

namespace {

// More than have caches of their own on two CPUs.
constexpr int kThreads = 24;

void* volatile sinks[kThreads];
std::atomic<int> started{0};
std::atomic<bool> hooked{false};
thread_local long told = 0;

void OnNew(const void*, size_t) { ++told; }

// Frees what it allocates, always the same size; returns when it has seen the hook for a while.
void Work(int number) {
  const auto pair = [number] {
    sinks[number] = malloc(100);
    free(sinks[number]);
  };
  pair();
  started.fetch_add(1);
  while (!hooked.load()) pair();
  const long before = told;
  for (int i = 0; i < 10000; ++i) pair();
  EXPECT_GE(told - before, 9999) << "of thread " << number;
}

TEST(LateHookTest, BusyThreadsFollow) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(&Work, i);
  while (started.load() < kThreads) std::this_thread::yield();
  ASSERT_EQ(MallocHook_AddNewHook(&OnNew), 1);
  hooked.store(true);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

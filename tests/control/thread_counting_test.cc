// SPDX-License-Identifier: Apache-2.0
//
// thread.allocated and its kin in the preloaded library: a thread that asks for them counts all its
// calls from then on, whatever way they take, and nobody else's.
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace {

template <typename Function>
Function* Find(const char* name) {
  auto* function = reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
  EXPECT_NE(function, nullptr) << name;
  return function;
}

using Mallctl = int(const char*, void*, size_t*, void*, size_t);

int Call(const char* name, void* oldp, size_t* oldlenp, void* newp, size_t newlen) {
  static Mallctl* const function = Find<Mallctl>("mallctl");
  return function(name, oldp, oldlenp, newp, newlen);
}

template <typename T>
T Read(const char* name) {
  T value = {};
  size_t length = sizeof(value);
  if (Call(name, &value, &length, nullptr, 0) != 0) abort();
  return value;
}

bool SetCounting(bool counting) {
  return Call("spanmalloc.thread.counting", nullptr, nullptr, &counting, sizeof(counting)) == 0;
}

bool IsCounting() { return Read<bool>("spanmalloc.thread.counting"); }

uint64_t Allocated() { return Read<uint64_t>("thread.allocated"); }
uint64_t Deallocated() { return Read<uint64_t>("thread.deallocated"); }

// What a thread's counts rose by.
class Rise {
 public:
  Rise() : allocated_(Allocated()), deallocated_(Deallocated()) {}
  uint64_t allocated() const { return Allocated() - allocated_; }
  uint64_t deallocated() const { return Deallocated() - deallocated_; }

 private:
  const uint64_t allocated_;
  const uint64_t deallocated_;
};

void* volatile sink;

void* Keep(void* block) {
  sink = block;
  return block;
}

// Looked up before anything is counted: the first look allocates.
auto* const usable_size = Find<size_t(void*)>("malloc_usable_size");
auto* const mallocx = Find<void*(size_t, int)>("mallocx");
auto* const dallocx = Find<void(void*, int)>("dallocx");
auto* const free_sized = Find<void(void*, size_t)>("free_sized");

size_t Usable(void* block) { return usable_size(block); }

// As libraries find out whether the process's malloc is jemalloc.
TEST(ThreadCountingTest, OneSmallBlockMovesTheNumberBehindThePointer) {
  std::thread([] {
    free(Keep(malloc(1)));  // the thread has a cache
    const auto* counter = Read<const volatile uint64_t*>("thread.allocatedp");
    for (int i = 0; i < 100; ++i) {
      const uint64_t before = *counter;
      void* block = Keep(malloc(1));
      EXPECT_EQ(*counter, before + 16);
      free(block);
    }
  }).join();
}

TEST(ThreadCountingTest, EveryWayToABlockCounts) {
  std::vector<void*> blocks;
  blocks.reserve(64);
  const Rise rise;
  size_t bytes = 0;
  const auto note = [&](void* block) {
    ASSERT_NE(Keep(block), nullptr);
    bytes += Usable(block);
    ASSERT_EQ(rise.allocated(), bytes);
    blocks.push_back(block);
  };
  for (size_t size : {0, 1, 100, 1000, 5000, 100000, 300000, 5000000}) note(malloc(size));
  for (size_t size : {1, 2000, 300000}) note(calloc(3, size));
  for (size_t size : {10, 2000, 300000}) note(aligned_alloc(4096, size));
  for (size_t size : {10, 2000, 300000}) note(operator new(size));
  for (int flags : {0, 0x40, 12}) note(mallocx(700, flags));
  EXPECT_EQ(rise.deallocated(), 0u);
  for (void* block : blocks) free(block);
  EXPECT_EQ(rise.deallocated(), bytes);
}

TEST(ThreadCountingTest, BlocksOfAnArenaCount) {
  unsigned arena = 0;
  size_t length = sizeof(arena);
  ASSERT_EQ(Call("arenas.create", &arena, &length, nullptr, 0), 0);
  const Rise rise;
  for (size_t size : {100, 10000, 1000000}) {
    const uint64_t before = rise.allocated();
    void* block = Keep(mallocx(size, static_cast<int>((arena + 1) << 20)));
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(rise.allocated() - before, Usable(block));
    dallocx(block, 0);
    EXPECT_EQ(rise.deallocated(), rise.allocated());
  }
}

TEST(ThreadCountingTest, EveryWayToFreeCounts) {
  const Rise rise;
  free(Keep(malloc(100)));
  operator delete(Keep(operator new(100)));
  operator delete(Keep(operator new(100)), size_t{100});
  operator delete(Keep(operator new(3000)), size_t{3000});
  free_sized(Keep(malloc(200)), 200);
  free(nullptr);
  EXPECT_GT(rise.allocated(), 3500u);
  EXPECT_EQ(rise.allocated(), rise.deallocated());
}

TEST(ThreadCountingTest, ReallocCountsABlockAndAnotherFreed) {
  const Rise rise;
  void* block = Keep(malloc(100));
  uint64_t allocated = Usable(block);
  uint64_t freed = 0;
  for (size_t size : {101, 90, 5000, 5001, 300000, 700000, 4000000, 300000, 50}) {
    freed += Usable(block);
    block = Keep(realloc(block, size));
    allocated += Usable(block);
    EXPECT_EQ(rise.allocated(), allocated) << size;
    EXPECT_EQ(rise.deallocated(), freed) << size;
  }
  free(block);
  EXPECT_EQ(rise.allocated(), rise.deallocated());
}

TEST(ThreadCountingTest, AFilledBufferCounts) {
  const Rise rise;
  void* block = nullptr;
  for (size_t size = 16; size < (size_t{64} << 20); size += size / 3 + 1) {
    block = Keep(realloc(block, size));
    ASSERT_EQ(rise.allocated() - rise.deallocated(), Usable(block)) << size;
  }
  free(block);
  EXPECT_EQ(rise.allocated(), rise.deallocated());
}

TEST(ThreadCountingTest, AFailureCountsNothing) {
  const Rise rise;
  const size_t huge = size_t{1} << 60;
  EXPECT_EQ(Keep(malloc(huge)), nullptr);
  void* block = malloc(100);
  EXPECT_EQ(Keep(realloc(block, huge)), nullptr);
  free(block);
  EXPECT_EQ(rise.allocated(), 112u);
}

TEST(ThreadCountingTest, AThreadCountsItsOwnCalls) {
  const Rise rise;
  void* block = nullptr;
  std::thread other([&block] {
    free(Keep(malloc(1)));
    const Rise own;
    block = malloc(50000);
    EXPECT_EQ(own.allocated(), Usable(block));
    EXPECT_EQ(own.deallocated(), 0u);
  });
  const uint64_t started = rise.allocated();
  other.join();
  EXPECT_LT(rise.allocated() - started, 50000u);
  const uint64_t before = rise.deallocated();
  const size_t usable = Usable(block);
  free(block);
  EXPECT_EQ(rise.deallocated() - before, usable) << "whoever allocated it";
}

TEST(ThreadCountingTest, CountingEndsAndBeginsAgain) {
  std::thread([] {
    EXPECT_FALSE(IsCounting());
    const auto* counter = Read<const volatile uint64_t*>("thread.allocatedp");
    EXPECT_TRUE(IsCounting());
    free(Keep(malloc(10)));
    EXPECT_EQ(*counter, 16u);
    ASSERT_TRUE(SetCounting(false));
    EXPECT_FALSE(IsCounting());
    for (int i = 0; i < 100; ++i) free(Keep(malloc(10)));
    EXPECT_EQ(*counter, 16u);
    EXPECT_EQ(Allocated(), 16u);  // which begins again
    free(Keep(malloc(10)));
    EXPECT_EQ(*counter, 32u);
  }).join();
}

TEST(ThreadCountingTest, ThePeakIsTold) {
  std::thread([] {
    ASSERT_EQ(Call("thread.peak.reset", nullptr, nullptr, nullptr, 0), 0);
    EXPECT_EQ(Read<uint64_t>("thread.peak.read"), 0u);
    free(Keep(malloc(1 << 20)));
    free(Keep(malloc(1 << 10)));
    EXPECT_EQ(Read<uint64_t>("thread.peak.read"), uint64_t{1} << 20);
    ASSERT_EQ(Call("thread.peak.reset", nullptr, nullptr, nullptr, 0), 0);
    EXPECT_EQ(Read<uint64_t>("thread.peak.read"), 0u);
  }).join();
}

TEST(ThreadCountingTest, WithoutAThreadCacheCallsCountToo) {
  std::thread([] {
    bool enabled = false;
    ASSERT_EQ(Call("thread.tcache.enabled", nullptr, nullptr, &enabled, 1), 0);
    const Rise rise;
    free(Keep(malloc(100)));
    EXPECT_EQ(rise.allocated(), 112u);
    EXPECT_EQ(rise.deallocated(), 112u);
    enabled = true;
    ASSERT_EQ(Call("thread.tcache.enabled", nullptr, nullptr, &enabled, 1), 0);
    for (int i = 0; i < 10; ++i) free(Keep(malloc(100)));
    EXPECT_EQ(rise.allocated(), 11 * 112u) << "the new cache is hidden, too";
  }).join();
}

TEST(ThreadCountingTest, AForkedChildGoesOnCounting) {
  const Rise rise;
  const pid_t child = fork();
  if (child == 0) {
    const uint64_t before = Allocated();
    free(malloc(100));
    _exit(Allocated() == before + 112 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(ThreadCountingTest, ManyThreadsComeAndGo) {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([t] {
        const Rise rise;
        const uint64_t before = rise.allocated();
        for (int i = 0; i < 1000; ++i) free(Keep(malloc(static_cast<size_t>(16 * (t + 1)))));
        EXPECT_EQ(rise.allocated() - before, 16000u * static_cast<unsigned>(t + 1));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

std::atomic<int> handled{0};

void Handle(int) {
  for (int i = 0; i < 4; ++i) free(malloc(100));
  handled.fetch_add(1);
}

TEST(ThreadCountingTest, SignalHandlersThatAllocateLeaveItWhole) {
  SetCounting(true);
  struct sigaction action = {};
  action.sa_handler = &Handle;
  ASSERT_EQ(sigaction(SIGALRM, &action, nullptr), 0);
  const itimerval often = {{0, 200}, {0, 200}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
  const uint64_t balance = Allocated() - Deallocated();
  while (handled.load() < 300) {
    for (int i = 0; i < 100; ++i) free(Keep(malloc(200)));
  }
  const itimerval never = {};
  ASSERT_EQ(setitimer(ITIMER_REAL, &never, nullptr), 0);
  free(Keep(malloc(200)));
  EXPECT_EQ(Allocated() - Deallocated(), balance);
}

}  // namespace

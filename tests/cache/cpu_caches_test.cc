// SPDX-License-Identifier: Apache-2.0
//
// Caches that belong to CPUs: hits and misses, what goes back, who shares, and a fork. At the end,
// threads that share while they are moved between the CPUs and stopped by signals, and while what
// they cache is taken away: nothing is given out twice, nothing is lost.
#include "allocator/cache/cpu_caches.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 6;
constexpr size_t kClasses[] = {6, 20, 40};

void StayOn(size_t cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof(one), &one);
}

std::vector<size_t> UsableCpus() {
  cpu_set_t usable;
  std::vector<size_t> cpus;
  if (sched_getaffinity(0, sizeof(usable), &usable) != 0) return cpus;
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &usable)) cpus.push_back(cpu);
  }
  return cpus;
}

class CpuCachesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!caches_.Prepare()) GTEST_SKIP() << "no restartable sequences";
    cpus_ = UsableCpus();
    StayOn(cpus_[0]);
  }
  void TearDown() override {
    EXPECT_TRUE(caches_.CheckInvariants());
    caches_.ReturnAll();
    EXPECT_TRUE(caches_.CheckInvariants());
    EXPECT_TRUE(on_.central.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
    cpu_set_t all;
    CPU_ZERO(&all);
    for (size_t cpu : cpus_) CPU_SET(cpu, &all);
    sched_setaffinity(0, sizeof(all), &all);
  }

  void* Allocate(size_t c = kClass) {
    void* object = caches_.Pop(c);
    bool zeroed;
    return object != nullptr ? object : caches_.Allocate(c, &zeroed);
  }
  void Free(void* object, size_t c = kClass) {
    if (!caches_.Push(c, object)) caches_.Free(c, object);
  }
  size_t Cached() {
    size_t counts[kSizeClassEnd] = {};
    caches_.AddCounts(counts);
    return counts[kClass];
  }
  // Leaves some objects in the CPU's cache.
  void Fill() {
    std::vector<void*> objects;
    for (int i = 0; i < 100; ++i) objects.push_back(Allocate());
    for (void* object : objects) Free(object);
  }

  CachesOnFakes on_;
  CpuCaches& caches_ = on_.registry.cpu_caches();
  std::vector<size_t> cpus_;
};

TEST_F(CpuCachesTest, AMissFetchesForAllThreadsOfTheCpu) {
  void* first = Allocate();
  EXPECT_EQ(caches_.Count(), 1u);
  EXPECT_GT(Cached(), 0u);
  const size_t cached = Cached();
  std::thread([&] {
    void* object = Allocate();
    EXPECT_NE(object, first);
    EXPECT_EQ(Cached(), cached - 1);
    Free(object);
  }).join();
  Free(first);
  EXPECT_EQ(Cached(), cached + 1);
}

TEST_F(CpuCachesTest, EachCpuHasItsOwn) {
  if (cpus_.size() < 2) GTEST_SKIP() << "a single CPU";
  Fill();
  const size_t cached = Cached();
  StayOn(cpus_[1]);
  Free(Allocate());
  EXPECT_EQ(caches_.Count(), 2u);
  EXPECT_GT(Cached(), cached);
}

TEST_F(CpuCachesTest, WhatNobodyTouchesGoesBackWithItsBudget) {
  Fill();
  EXPECT_TRUE(caches_.ReturnIdle());
  const size_t cached = Cached();
  EXPECT_GT(cached, 0u);
  Free(Allocate(20), 20);
  EXPECT_TRUE(caches_.ReturnIdle());
  EXPECT_GE(Cached(), cached);
  EXPECT_FALSE(caches_.ReturnIdle());
  EXPECT_EQ(Cached(), 0u);
  EXPECT_EQ(on_.Outside(kClass, 0), 0u);
  EXPECT_FALSE(caches_.ReturnIdle());
  Fill();
  EXPECT_GT(Cached(), 0u);
  EXPECT_TRUE(caches_.ReturnIdle());
}

TEST_F(CpuCachesTest, TheThreadsBudgetIsLeftAlone) {
  Fill();
  EXPECT_EQ(on_.budget.left(), CachesOnFakes::kBudget);
}

TEST_F(CpuCachesTest, TheirBudgetIsAQuarterOfTheThreads) {
  constexpr size_t kMany = 40;
  size_t wished = 0;
  size_t overdrawn = 0;
  for (size_t c = 1; c <= kMany; ++c) {
    const SizeClassInfo& info = kSizeClassTable[c];
    std::vector<void*> objects;
    for (size_t i = 0; i < 4 * info.cache_limit; ++i) objects.push_back(Allocate(c));
    for (void* object : objects) Free(object, c);
    wished += info.cache_limit * info.size;
    overdrawn += info.batch * info.size;
  }
  size_t counts[kSizeClassEnd] = {};
  size_t limits[kSizeClassEnd] = {};
  caches_.AddCounts(counts, limits);
  size_t allowed = 0;
  for (size_t c = 1; c <= kMany; ++c) allowed += limits[c] * kSizeClassTable[c].size;
  ASSERT_GT(wished, CachesOnFakes::kBudget / 2);
  EXPECT_LE(allowed, CachesOnFakes::kBudget / 4 + overdrawn);
}

TEST_F(CpuCachesTest, OutOfMemoryIsToldAndHarmless) {
  while (Allocate(kSizeClasses) != nullptr) {
  }
  EXPECT_EQ(Allocate(kSizeClasses), nullptr);
  EXPECT_TRUE(caches_.CheckInvariants());
}

TEST_F(CpuCachesTest, ThreadsBeyondTheStatesShare) {
  ThreadRegistry& registry = on_.registry;
  registry.SetOwnStates(1);
  EXPECT_FALSE(registry.Crowded());
  ThreadState* own = registry.Create();
  EXPECT_TRUE(registry.Crowded());
  ASSERT_TRUE(registry.BeginSharing());
  EXPECT_EQ(registry.threads(), 2u);
  EXPECT_EQ(registry.sharing(), 1u);
  EXPECT_TRUE(registry.Crowded());
  EXPECT_TRUE(registry.CheckInvariants());
  registry.Destroy(own);
  EXPECT_FALSE(registry.Crowded());
  registry.EndSharing();
  EXPECT_EQ(registry.threads(), 0u);
  EXPECT_TRUE(registry.CheckInvariants());
}

TEST_F(CpuCachesTest, ThreadsThatAreMoreThanTheStatesTakeTurns) {
  ThreadRegistry& registry = on_.registry;
  registry.SetOwnStates(1);
  ThreadState* own = registry.Create();
  EXPECT_FALSE(registry.TakesTurns());
  ASSERT_TRUE(registry.BeginSharing());
  EXPECT_TRUE(registry.TakesTurns());
  registry.EndSharing();
  EXPECT_FALSE(registry.TakesTurns());
  registry.Destroy(own);
}

TEST_F(CpuCachesTest, TellsWhoComesAgain) {
  const int first = 0;
  const int second = 0;
  EXPECT_TRUE(caches_.ComesAgain(&first)) << "nobody has shared";
  EXPECT_TRUE(caches_.ComesAgain(&second));
  Fill();
  EXPECT_FALSE(caches_.ComesAgain(&first));
  EXPECT_TRUE(caches_.ComesAgain(&first));
  EXPECT_FALSE(caches_.ComesAgain(&second));
  EXPECT_FALSE(caches_.ComesAgain(&first));
  if (cpus_.size() < 2) return;
  StayOn(cpus_[1]);
  Fill();
  EXPECT_FALSE(caches_.ComesAgain(&first));
  StayOn(cpus_[0]);
  EXPECT_TRUE(caches_.ComesAgain(&first));
}

TEST_F(CpuCachesTest, TheRegistryCountsWhatTheyHold) {
  Fill();
  size_t counts[kSizeClassEnd] = {};
  on_.registry.AddCounts(counts);
  EXPECT_EQ(counts[kClass], Cached());
  os::LockAcquisitions locks = {};
  on_.registry.AddStateLocks(&locks);
  EXPECT_GT(locks.all, 0u);
}

struct Shared {
  CachesOnFakes on;
  CpuCaches& caches = on.registry.cpu_caches();
  std::atomic<bool> done{false};
  std::atomic<bool> failed{false};
};

void Pause(int) { sched_yield(); }

// Allocates and frees on CPUs that change. An object in use says so in its first word.
void Work(Shared& shared, const std::vector<size_t>& cpus, unsigned seed) {
  std::minstd_rand random(seed);
  std::vector<void*> hand[std::size(kClasses)];
  const auto free_one = [&](size_t which) {
    void* object = hand[which].back();
    hand[which].pop_back();
    static_cast<std::atomic<uint64_t>*>(object)->store(0, std::memory_order_relaxed);
    if (!shared.caches.Push(kClasses[which], object)) shared.caches.Free(kClasses[which], object);
  };
  for (size_t step = 0; !shared.done.load(std::memory_order_relaxed); ++step) {
    if (step % 512 == 0) StayOn(cpus[random() % cpus.size()]);
    const size_t which = random() % std::size(kClasses);
    if (hand[which].empty() || (hand[which].size() < 300 && random() % 2 == 0)) {
      bool zeroed = false;
      void* object = shared.caches.Pop(kClasses[which]);
      if (object == nullptr) object = shared.caches.Allocate(kClasses[which], &zeroed);
      auto* owner = static_cast<std::atomic<uint64_t>*>(object);
      if (owner->exchange(1, std::memory_order_relaxed) != 0) shared.failed = true;
      hand[which].push_back(object);
    } else {
      free_one(which);
    }
  }
  for (size_t which = 0; which < std::size(kClasses); ++which) {
    while (!hand[which].empty()) free_one(which);
  }
}

// As the fork handlers of the whole allocator, as far as it concerns these floors.
template <typename Visit>
void ForEachLock(Shared& shared, Visit visit) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  visit(shared.on.central.table_lock());
  shared.on.central.ForEachList([&visit](CentralFreeList& list) { visit(list.lock()); });
}

// In a child of a fork: every CPU's cache is at hand, whoever had taken it away in the parent.
bool GoodInChild(Shared& shared, const std::vector<size_t>& cpus) {
  if (!shared.on.registry.CheckInvariants()) return false;
  for (size_t cpu : cpus) {
    StayOn(cpu);
    bool zeroed;
    void* object = shared.caches.Allocate(kClass, &zeroed);
    if (object == nullptr) return false;
    // A sequence may be broken off, but not always.
    void* again = nullptr;
    for (int i = 0; i < 100 && again == nullptr; ++i) {
      shared.caches.Free(kClass, object);
      again = shared.caches.Pop(kClass);
      object = again != nullptr ? again : shared.caches.Allocate(kClass, &zeroed);
    }
    if (again == nullptr) return false;
  }
  return true;
}

void ForkAndCheck(Shared& shared, const std::vector<size_t>& cpus) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  CachesOnFakes& on = shared.on;
  on.registry.LockAll();
  ForEachLock(shared, [](os::RankedLock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS { lock.Lock(); });
  on.node_heaps.LockForFork();
  on.metadata.lock().Lock();
  const pid_t child = fork();
  if (child == 0) {
    ForEachLock(shared, [](os::RankedLock& lock) { lock.ResetAfterFork(); });
    on.node_heaps.ResetAfterFork();
    on.metadata.lock().ResetAfterFork();
    on.registry.ResetAfterFork(nullptr);
    _exit(GoodInChild(shared, cpus) ? 0 : 1);
  }
  on.metadata.lock().Unlock();
  on.node_heaps.UnlockAfterFork();
  ForEachLock(shared, [](os::RankedLock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS { lock.Unlock(); });
  on.registry.UnlockAll();
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(CpuCachesStressTest, NothingIsGivenOutTwiceOrLost) {
  Shared shared;
  if (!shared.caches.Prepare()) GTEST_SKIP() << "no restartable sequences";
  struct sigaction action = {};
  action.sa_handler = &Pause;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  const std::vector<size_t> cpus = UsableCpus();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 8; ++i) {
    threads.emplace_back([&shared, &cpus, i] { Work(shared, cpus, i + 1); });
  }
  for (int round = 0; round < 600; ++round) {
    for (std::thread& thread : threads) pthread_kill(thread.native_handle(), SIGUSR1);
    if (round % 2 == 0) shared.caches.ReturnAll();
    if (round % 3 == 0) shared.caches.ReturnIdle();
    size_t counts[kSizeClassEnd] = {};
    shared.on.registry.AddCounts(counts);
    EXPECT_TRUE(shared.on.registry.CheckInvariants());
    if (round % 4 == 1) ForkAndCheck(shared, cpus);
    sched_yield();
  }
  shared.done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(shared.failed);
  shared.caches.ReturnAll();
  for (size_t c : kClasses) EXPECT_EQ(shared.on.Outside(c, 0), 0u) << "objects of class " << c;
  EXPECT_TRUE(shared.on.central.CheckInvariants());
  EXPECT_TRUE(FaultLog::Take().empty());
}

}  // namespace
}  // namespace spanmalloc

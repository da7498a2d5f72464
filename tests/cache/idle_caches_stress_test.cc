// SPDX-License-Identifier: Apache-2.0
//
// Threads that pop and push without locks while their caches are taken back again and again, and
// that are stopped by signals wherever they happen to be. Every object is marked as given out or
// free: none is given out twice, none is lost.
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "allocator/cache/idle_caches.h"
#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClasses[] = {6, 20, 40};
constexpr unsigned kThreads = 4;
constexpr int kRounds = 300;
constexpr auto kMostTime = std::chrono::seconds(20);  // on a machine that does other things
constexpr int kHandMax = 300;

// Until the taker is done with a round; not for ever, since a thread may be stopped with a lock
// held.
constexpr int kMaxYields = 500;
std::atomic<bool> stalled{false};
std::atomic<uint64_t> stalls{0};

void Stall(int) {
  stalls.fetch_add(1, std::memory_order_relaxed);
  for (int i = 0; i < kMaxYields && stalled.load(std::memory_order_relaxed); ++i) {
    syscall(SYS_sched_yield);
  }
}

class Worker {
 public:
  Worker(CachesOnFakes& on, unsigned seed) : thread_(on), random_(seed) {}

  void Run(const std::atomic<bool>& done) {
    while (!done.load(std::memory_order_relaxed)) {
      for (int i = 0; i < 200; ++i) DoOne();
      if (random_() % 4 == 0) thread_.SlowPath([] {});
      if (random_() % 64 == 0) thread_.SlowPath([&] { thread_.state().FlushAll(); });
    }
    for (size_t which = 0; which < std::size(kClasses); ++which) {
      while (!hand_[which].empty()) FreeOne(which);
    }
  }
  bool failed() const { return failed_; }

 private:
  void DoOne() {
    const size_t which = random_() % std::size(kClasses);
    if (hand_[which].empty() || (hand_[which].size() < kHandMax && random_() % 2 == 0)) {
      AllocateOne(which);
    } else {
      FreeOne(which);
    }
  }

  void AllocateOne(size_t which) {
    void* object = thread_.Allocate(kClasses[which]);
    // The heap's memory is zero at first.
    auto* owner = static_cast<std::atomic<uint64_t>*>(object);
    failed_ = failed_ || owner->exchange(1, std::memory_order_relaxed) != 0;
    hand_[which].push_back(object);
  }

  void FreeOne(size_t which) {
    void* object = hand_[which].back();
    hand_[which].pop_back();
    static_cast<std::atomic<uint64_t>*>(object)->store(0, std::memory_order_relaxed);
    thread_.Free(kClasses[which], object);
  }

  CachingThread thread_;
  std::minstd_rand random_;
  std::vector<void*> hand_[std::size(kClasses)];
  bool failed_ = false;
};

TEST(IdleCachesStressTest, NothingIsGivenOutTwiceOrLost) {
  struct sigaction action = {};
  action.sa_handler = &Stall;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  CachesOnFakes on;
  IdleCaches idle(on.registry);
  idle.SetWanted(true);
  idle.Begin();
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&on, &done, seed = i + 1] {
      Worker worker(on, seed);
      worker.Run(done);
      EXPECT_FALSE(worker.failed()) << "given out twice";
    });
  }
  size_t counts[kSizeClassEnd] = {};
  const auto end = std::chrono::steady_clock::now() + kMostTime;
  const auto enough = [&end](int rounds) {
    return rounds >= kRounds || std::chrono::steady_clock::now() > end;
  };
  for (int round = 0; !enough(round) || idle.Stats().caches == 0; ++round) {
    stalled.store(true, std::memory_order_relaxed);
    for (std::thread& thread : threads) {
      if (round % 8 != 7) pthread_kill(thread.native_handle(), SIGUSR1);
    }
    for (int look = 0; look < 3; ++look) {
      on.clock.Advance(IdleCaches::kLookMs);
      idle.Look(on.clock.NowMs());
      on.registry.AddCounts(counts);
      EXPECT_TRUE(on.registry.CheckInvariants());
      std::this_thread::yield();
    }
    stalled.store(false, std::memory_order_relaxed);
    std::this_thread::yield();
  }
  done.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(stalls.load(), 0u);
  EXPECT_GT(idle.Stats().caches, 0u);
  on.registry.ReturnKept();
  for (size_t c : kClasses)
    EXPECT_EQ(on.Outside(c, 0), 0u) << "objects of class " << c << " are lost";
  EXPECT_TRUE(on.central.CheckInvariants());
  EXPECT_TRUE(FaultLog::Take().empty());
}

}  // namespace
}  // namespace spanmalloc

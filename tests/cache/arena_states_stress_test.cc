// SPDX-License-Identifier: Apache-2.0
//
// Threads that cache objects of arenas while these are reset, while other threads take back what
// they cache, return what they left idle, and count it. An arena's objects are used by nobody while
// it is reset; everything else goes on. No object is given out twice in an epoch, none is lost, and
// nothing that a reset has freed comes back.
#include <atomic>
#include <random>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "allocator/cache/idle_caches.h"
#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClasses[] = {6, 20, 40};
constexpr unsigned kThreads = 3;
constexpr int kRounds = 300;
constexpr size_t kHandMax = 200;

// Memory that a reset frees may become another arena's: every time between two resets has a number
// of its own.
std::atomic<uint64_t> numbers{0};

struct Arena {
  unsigned index = 0;
  std::shared_mutex in_use;  // shared: allocates or frees there; exclusive: resets it
  uint64_t number = ++numbers;
};

class Worker {
 public:
  Worker(CachesOnFakes& on, Arena& arena, unsigned seed)
      : on_(on), arena_(arena), thread_(on), random_(seed) {
    thread_.SlowPath([&] { Bind(); });
  }
  ~Worker() {
    thread_.SlowPath([&] { Unbind(); });
  }

  void Run(const std::atomic<bool>& done) {
    while (!done.load(std::memory_order_relaxed)) {
      {
        std::shared_lock hold(arena_.in_use);
        NoticeReset();
        for (int i = 0; i < 100; ++i) DoOne();
      }
      // Not a use of the arena, be it reset meanwhile.
      if (random_() % 2 == 0) thread_.SlowPath([&] { thread_.state().ReturnIdle(); });
      if (random_() % 16 == 0) thread_.SlowPath([&] { thread_.state().FlushAll(); });
      if (random_() % 16 == 0) thread_.SlowPath([&] { Unbind(), Bind(); });
    }
    std::shared_lock hold(arena_.in_use);
    NoticeReset();
    while (!hand_.empty()) FreeOne();
  }
  bool failed() const { return failed_; }

 private:
  struct InHand {
    size_t size_class;
    void* object;
  };

  ThreadState& state() { return *thread_.state().of_arena; }
  void Bind() {
    thread_.state().of_arena = on_.registry.CreateFor(arena_.index, &thread_.locals());
  }
  void Unbind() {
    ThreadState* state = thread_.state().of_arena;
    thread_.state().of_arena = nullptr;
    on_.registry.Destroy(state);
  }
  void NoticeReset() {
    if (number_ != arena_.number) hand_.clear();
    number_ = arena_.number;
  }

  void DoOne() {
    if (hand_.empty() || (hand_.size() < kHandMax && random_() % 2 == 0)) {
      AllocateOne();
    } else {
      FreeOne();
    }
  }

  void AllocateOne() {
    const size_t c = kClasses[random_() % std::size(kClasses)];
    void* object = state().MayHit() ? state().PopOfArena(c) : nullptr;
    if (object == nullptr) {
      thread_.SlowPath([&] {
        state().UseCache();
        bool zeroed;
        object = state().PopOfArena(c);
        if (object == nullptr) object = state().Refill(c, &zeroed);
      });
    }
    // Whoever holds an object has written the time's number into it.
    auto* holder = static_cast<std::atomic<uint64_t>*>(object);
    failed_ = failed_ || holder->exchange(number_, std::memory_order_relaxed) == number_;
    hand_.push_back({c, object});
  }

  void FreeOne() {
    const size_t i = random_() % hand_.size();
    const auto [c, object] = hand_[i];
    hand_[i] = hand_.back();
    hand_.pop_back();
    static_cast<std::atomic<uint64_t>*>(object)->store(0, std::memory_order_relaxed);
    if (state().MayHit() && state().PushOfArena(c, object)) return;
    thread_.SlowPath([&, c = c, object = object] {
      state().UseCache();
      if (!state().PushOfArena(c, object)) state().Overflow(c, object);
    });
  }

  CachesOnFakes& on_;
  Arena& arena_;
  CachingThread thread_;
  std::minstd_rand random_;
  uint64_t number_ = 0;
  std::vector<InHand> hand_;
  bool failed_ = false;
};

TEST(ArenaStatesStressTest, ResetsWhileCachesAreTakenBack) {
  CachesOnFakes on;
  Arena arenas[2];
  for (Arena& arena : arenas) {
    ASSERT_TRUE(on.arenas.Create({.dirty_decay_ms = 1000, .muzzy_decay_ms = 0}, &arena.index));
  }
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&on, &arena = arenas[i % 2], &done, seed = i + 1] {
      Worker worker(on, arena, seed);
      worker.Run(done);
      EXPECT_FALSE(worker.failed()) << "given out twice";
    });
  }
  std::thread taker([&] {
    IdleCaches idle(on.registry);
    idle.SetWanted(true);
    idle.Begin();
    size_t counts[kSizeClassEnd] = {};
    while (!done.load(std::memory_order_relaxed)) {
      on.clock.Advance(IdleCaches::kLookMs);
      idle.Look(on.clock.NowMs());
      on.registry.AddCounts(counts);
      EXPECT_TRUE(on.registry.CheckInvariants());
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    Arena& arena = arenas[round % 2];
    {
      std::unique_lock hold(arena.in_use);
      arena.number = ++numbers;
      EXPECT_TRUE(on.arenas.Reset(arena.index));
    }
    std::this_thread::yield();
  }
  done.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  taker.join();
  on.registry.ReturnKept();
  for (const Arena& arena : arenas) {
    for (size_t c : kClasses) {
      CentralFreeListStats stats = {};
      on.arenas.AddStats(arena.index, static_cast<SizeClass>(c), &stats);
      EXPECT_EQ(stats.taken, stats.returned) << "objects of class " << c << " are lost";
    }
    EXPECT_TRUE(on.arenas.Destroy(arena.index));
  }
  EXPECT_TRUE(on.arenas.CheckInvariants());
  EXPECT_EQ(on.budget.left(), CachesOnFakes::kBudget);
  EXPECT_TRUE(FaultLog::Take().empty());
}

}  // namespace
}  // namespace spanmalloc

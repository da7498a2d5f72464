// SPDX-License-Identifier: Apache-2.0
//
// Threads that share an arena with extent hooks: they get extents, decommit them and take them
// again at once, and the arena's end finds every one of them.
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/extent_hooks_on_fakes.h"

namespace spanmalloc {
namespace {

// Anonymous memory that is kept until it is destroyed, and notes what of it is committed.
struct Keeper : ExtentHooks {
  Keeper()
      : ExtentHooks{&Alloc,  nullptr, &Destroy, &Commit, &Decommit,
                    nullptr, nullptr, &Split,   nullptr} {}

  struct Extent {
    size_t size;
    bool committed;
  };
  static Keeper& Of(ExtentHooks* hooks) { return *static_cast<Keeper*>(hooks); }

  static void* Alloc(ExtentHooks* hooks, void*, size_t size, size_t alignment, bool* zero, bool*,
                     unsigned) {
    const uintptr_t start = MapAligned(size, alignment);
    const std::lock_guard hold(Of(hooks).mutex);
    Of(hooks).extents[start] = {size, true};
    *zero = true;
    return reinterpret_cast<void*>(start);
  }
  static void Destroy(ExtentHooks* hooks, void* addr, size_t size, bool committed, unsigned) {
    {
      const std::lock_guard hold(Of(hooks).mutex);
      Of(hooks).Expect(addr, size, committed);
      Of(hooks).extents.erase(reinterpret_cast<uintptr_t>(addr));
    }
    munmap(addr, size);
  }
  static bool Commit(ExtentHooks* hooks, void* addr, size_t size, size_t, size_t, unsigned) {
    const std::lock_guard hold(Of(hooks).mutex);
    Of(hooks).Expect(addr, size, false).committed = true;
    return false;
  }
  static bool Decommit(ExtentHooks* hooks, void* addr, size_t size, size_t, size_t, unsigned) {
    madvise(addr, size, MADV_DONTNEED);
    const std::lock_guard hold(Of(hooks).mutex);
    Of(hooks).Expect(addr, size, true).committed = false;
    return false;
  }
  static bool Split(ExtentHooks* hooks, void* addr, size_t size, size_t size_a, size_t size_b, bool,
                    unsigned) {
    const std::lock_guard hold(Of(hooks).mutex);
    Of(hooks).Expect(addr, size, true).size = size_a;
    Of(hooks).extents[reinterpret_cast<uintptr_t>(addr) + size_a] = {size_b, true};
    return false;
  }

  Extent& Expect(void* addr, size_t size, bool committed) {
    Extent& extent = extents[reinterpret_cast<uintptr_t>(addr)];
    EXPECT_EQ(extent.size, size);
    EXPECT_EQ(extent.committed, committed);
    return extent;
  }

  std::mutex mutex;
  std::map<uintptr_t, Extent> extents;
};

constexpr int kThreads = 4;

class ExtentHooksThreadsTest : public testing::Test {
 protected:
  ~ExtentHooksThreadsTest() {
    EXPECT_TRUE(on_.node_heaps.CheckInvariants());
    EXPECT_TRUE(arenas_.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  void* Allocate(unsigned arena, size_t size) {
    bool zeroed = false;
    for (int i = 0; i < 100; ++i) {
      void* block = arenas_.Allocate(arena, kNoSizeClass, size, kPageSize, &zeroed);
      if (block != nullptr) return block;
      arenas_.Provide(arena, PagesFor(size), kPageSize);
    }
    return nullptr;
  }
  // A block filled, looked at again and freed.
  void UseOne(unsigned arena, size_t size, int mark) {
    auto* block = static_cast<char*>(Allocate(arena, size));
    ASSERT_NE(block, nullptr);
    for (size_t i = 0; i < size; i += kPageSize) block[i] = static_cast<char>(mark);
    std::this_thread::yield();
    for (size_t i = 0; i < size; i += kPageSize) ASSERT_EQ(block[i], static_cast<char>(mark));
    EXPECT_EQ(on_.node_heaps.FreeLarge(block), LargeFault::kNone);
  }
  // Runs work(number of the thread) on several threads that begin together.
  template <typename Work>
  void Run(Work work) {
    std::atomic<int> waiting{kThreads};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        waiting.fetch_sub(1);
        while (waiting.load() != 0) std::this_thread::yield();
        work(t);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  CentralOnFakes on_;
  ArenaSet& arenas_ = on_.arenas;
  Keeper keeper_;
};

TEST_F(ExtentHooksThreadsTest, DecommittedExtentsAreCommittedByOneOfThem) {
  unsigned arena = 0;
  ASSERT_TRUE(arenas_.Create({1000, 0, &keeper_}, &arena));
  Run([&](int t) {
    for (int i = 0; i < 100; ++i) {
      UseOne(arena, static_cast<size_t>(1 + (i + t) % 5) << 20, t + 1);
      if (i % 3 == 0) arenas_.Purge(arena);
    }
  });
  EXPECT_TRUE(arenas_.Destroy(arena));
  EXPECT_TRUE(keeper_.extents.empty());
}

TEST_F(ExtentHooksThreadsTest, TheFirstExtentsAreAllFoundInTheEnd) {
  for (int round = 0; round < 50; ++round) {
    unsigned arena = 0;
    ASSERT_TRUE(arenas_.Create({1000, 0, &keeper_}, &arena));
    Run([&](int t) { UseOne(arena, kHugePageSize, t + 1); });
    arenas_.Purge(arena);
    EXPECT_TRUE(arenas_.Destroy(arena));
    ASSERT_TRUE(keeper_.extents.empty()) << "round " << round;
  }
}

}  // namespace
}  // namespace spanmalloc

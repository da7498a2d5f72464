// SPDX-License-Identifier: Apache-2.0
//
// What threads may do to arenas at once, however little sense it makes: create, reset, destroy,
// bind, set hooks and decay times, purge, read statistics. Blocks are taken only by who has made
// sure that nobody frees them all meanwhile.
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr unsigned kArenas = 3;  // as many as threads quarrel about
constexpr int kThreads = 4;
constexpr int kSteps = 300;
constexpr size_t kClass = 10;

std::atomic<int64_t> extents{0};

void* Alloc(ExtentHooks*, void*, size_t size, size_t alignment, bool* zero, bool*, unsigned) {
  const size_t whole = size + alignment;
  void* mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t start = RoundUp(begin, alignment);
  if (start != begin) munmap(mapped, start - begin);
  if (start + size != begin + whole) {
    munmap(reinterpret_cast<void*>(start + size), begin + whole - start - size);
  }
  ++extents;
  *zero = true;
  return reinterpret_cast<void*>(start);
}
bool Dalloc(ExtentHooks*, void* addr, size_t size, bool, unsigned) {
  munmap(addr, size);
  --extents;
  return false;
}
void DestroyExtent(ExtentHooks* hooks, void* addr, size_t size, bool committed, unsigned arena) {
  Dalloc(hooks, addr, size, committed, arena);
}
bool Purge(ExtentHooks*, void* addr, size_t, size_t offset, size_t length, unsigned) {
  return madvise(static_cast<char*>(addr) + offset, length, MADV_DONTNEED) != 0;
}

ExtentHooks hooks = {&Alloc,  &Dalloc, &DestroyExtent, nullptr, nullptr,
                     nullptr, &Purge,  nullptr,        nullptr};

class ArenaRacesTest : public testing::Test {
 protected:
  void* Take(unsigned arena, size_t size) {
    const bool large = size > kSizeClassTable[kClass].size;
    const size_t c = large ? kNoSizeClass : kClass;
    bool zeroed = false;
    void* block = arenas_.Allocate(arena, c, size, 1, &zeroed);
    if (block == nullptr && arenas_.Provide(arena, PagesFor(size), 1)) {
      block = arenas_.Allocate(arena, c, size, 1, &zeroed);
    }
    if (block != nullptr) memset(block, 1, size);
    return block;
  }

  void Quarrel(uint64_t seed) {
    std::minstd_rand random(static_cast<unsigned>(seed));
    for (int step = 0; step < kSteps; ++step) {
      const unsigned arena = 1 + random() % kArenas;
      unsigned made = 0;
      switch (random() % 12) {
        case 0:
        case 1:
          arenas_.Create({1000, 0, random() % 2 == 0 ? &hooks : nullptr}, &made);
          break;
        case 2:
          arenas_.Destroy(arena);
          break;
        case 3:
          arenas_.Reset(arena);
          break;
        case 4:
          if (arenas_.Bind(arena)) arenas_.Unbind(arena);
          break;
        case 5:
          arenas_.SetHooks(random() % 4 == 0 ? 0 : arena, &hooks);
          break;
        case 6:
          arenas_.SetDirtyDecay(arena, static_cast<int64_t>(random() % 3) - 1);
          break;
        case 7:
          arenas_.Purge(arena);
          break;
        case 8:
          on_.clock.Advance(60);
          arenas_.ServeAllHooked(on_.clock.NowMs());
          break;
        case 9:
          arenas_.Decay(arena, on_.clock.NowMs());
          break;
        case 10:
          on_.node_heaps.Stats();
          arenas_.ReturnUnusedHooked();
          break;
        default:
          UseOwn(&random);
          break;
      }
    }
  }
  // An arena whose index nobody else uses, in which blocks come and go.
  void UseOwn(std::minstd_rand* random) {
    unsigned own = 0;
    if (!arenas_.Create({0, 0, &hooks}, &own)) return;
    if (own <= kArenas) return;
    std::vector<void*> blocks;
    for (int i = 0; i < 20; ++i) {
      if (void* block = Take(own, 1 + (*random)() % (size_t{3} << 20))) blocks.push_back(block);
      if (i % 3 == 0 && !blocks.empty()) {
        on_.FreeInArena(blocks.back());
        blocks.pop_back();
      }
    }
    arenas_.Purge(own);
    for (void* block : blocks) on_.FreeInArena(block);
    EXPECT_TRUE(arenas_.Destroy(own));
  }

  CentralOnFakes on_;
  ArenaSet& arenas_ = on_.arenas;
};

TEST_F(ArenaRacesTest, NothingBreaksAndNothingIsLost) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this, i] { Quarrel(static_cast<uint64_t>(i) + 1); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(arenas_.CheckInvariants());
  for (unsigned i = 1; i < arenas_.end(); ++i) arenas_.Destroy(i);
  EXPECT_EQ(extents.load(), 0);
  EXPECT_TRUE(arenas_.CheckInvariants());
  EXPECT_TRUE(on_.node_heaps.CheckInvariants());
}

// One arena, whose blocks come and go while others purge it.
TEST_F(ArenaRacesTest, BlocksComeAndGoWhileOthersPurge) {
  unsigned arena = 0;
  ASSERT_TRUE(arenas_.Create({0, 0, &hooks}, &arena));
  std::atomic<bool> stop{false};
  std::vector<std::thread> purgers;
  for (int i = 0; i < 2; ++i) {
    purgers.emplace_back([this, arena, &stop] {
      while (!stop) {
        arenas_.Purge(arena);
        on_.clock.Advance(60);
        arenas_.ServeHooked(arena, on_.clock.NowMs());
      }
    });
  }
  std::vector<std::thread> users;
  for (int i = 0; i < 2; ++i) {
    users.emplace_back([this, arena, i] {
      std::minstd_rand random(static_cast<unsigned>(i) + 1);
      std::vector<std::pair<char*, size_t>> blocks;
      for (int step = 0; step < 20'000; ++step) {
        if (blocks.size() < 2000 && random() % 2 == 0) {
          const size_t size =
              random() % 100 == 0 ? 1 + random() % (size_t{5} << 20) : kSizeClassTable[kClass].size;
          auto* block = static_cast<char*>(Take(arena, size));
          if (block == nullptr) continue;
          block[0] = block[size - 1] = static_cast<char>(i + 1);
          blocks.emplace_back(block, size);
        } else if (!blocks.empty()) {
          std::swap(blocks[random() % blocks.size()], blocks.back());
          const auto [block, size] = blocks.back();
          EXPECT_EQ(block[0], static_cast<char>(i + 1));
          EXPECT_EQ(block[size - 1], static_cast<char>(i + 1));
          on_.FreeInArena(block);
          blocks.pop_back();
        }
      }
      for (const auto& block : blocks) on_.FreeInArena(block.first);
    });
  }
  for (std::thread& thread : users) thread.join();
  stop = true;
  for (std::thread& thread : purgers) thread.join();
  EXPECT_TRUE(arenas_.CheckInvariants());
  EXPECT_TRUE(on_.node_heaps.CheckInvariants());
  EXPECT_TRUE(FaultLog::Take().empty());
  EXPECT_TRUE(arenas_.Destroy(arena));
  EXPECT_EQ(extents.load(), 0);
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// The pool of whole huge pages: what it hands out against a map of who holds each page, and against
// the fake kernel's own record of what is mapped.
#include "allocator/heap/huge_page_pool.h"

#include <cstdint>
#include <cstring>
#include <map>
#include <random>

#include "allocator/heap/page_map.h"
#include "gtest/gtest.h"
#include "tests/support/fake_virtual_memory.h"

namespace spanmalloc {
namespace {

using State = FakeVirtualMemory::State;

class HugePagePoolTest : public testing::Test {
 protected:
  static constexpr size_t kArenaHugePages = 512;

  HugePagePoolTest() {
    EXPECT_TRUE(page_map_.Init(kWindowSize));
    auto* maps = static_cast<HugePagePool::Maps*>(memory_.Map(sizeof(HugePagePool::Maps)));
    pool_.Init(memory_.arena_begin(), memory_.arena_end(), maps);
    first_ = pool_.first_index();
  }

  uintptr_t AddressOf(size_t index) { return reinterpret_cast<uintptr_t>(pool_.AddressOf(index)); }
  bool IsMapped(size_t index, size_t count) {
    return memory_.IsAll(State::kMapped, pool_.AddressOf(index), count * kHugePageSize);
  }
  bool IsUnmapped(size_t index, size_t count) {
    return memory_.IsAll(State::kUnmapped, pool_.AddressOf(index), count * kHugePageSize);
  }

  FakeVirtualMemory memory_{kArenaHugePages * kHugePageSize};
  PageMap page_map_{memory_};
  HugePagePool pool_{memory_, page_map_};
  size_t first_ = 0;
};

TEST_F(HugePagePoolTest, StartsWithNothingMapped) {
  EXPECT_EQ(pool_.mapped(), 0u);
  EXPECT_EQ(pool_.extent(), 0u);
  EXPECT_FALSE(pool_.InHeap(memory_.arena_begin()));
  EXPECT_TRUE(pool_.CheckInvariants());
}

TEST_F(HugePagePoolTest, AlignedRunsAreAligned) {
  for (size_t alignment : {1u, 2u, 8u, 64u}) {
    for (size_t count : {1u, 3u, 9u}) {
      const HugeRun run = pool_.Take(count, alignment);
      ASSERT_EQ(run.count, count);
      EXPECT_EQ(run.index % alignment, 0u);
      EXPECT_EQ(AddressOf(run.index) % (alignment * kHugePageSize), 0u);
      EXPECT_TRUE(IsMapped(run.index, count));
      EXPECT_FALSE(run.dirty);
    }
  }
  EXPECT_TRUE(pool_.CheckInvariants());
}

TEST_F(HugePagePoolTest, ASinglePagePrefersOneThatIsResident) {
  const HugeRun clean = pool_.Take(1, 1);
  const HugeRun dirty = pool_.Take(1, 1);
  pool_.Put(clean.index, 1, /*dirty=*/false);
  pool_.Put(dirty.index, 1, /*dirty=*/true);
  const HugeRun again = pool_.Take(1, 1);
  EXPECT_EQ(again.index, dirty.index);
  EXPECT_TRUE(again.dirty);
}

TEST_F(HugePagePoolTest, TakeAtTakesTheNamedPagesOrNone) {
  const HugeRun run = pool_.Take(4, 1);
  EXPECT_EQ(pool_.TakeAt(run.index + 3, 2).count, 0u) << "the first of them is taken";
  const HugeRun next = pool_.TakeAt(run.index + 4, 5);
  ASSERT_EQ(next.count, 5u);
  EXPECT_TRUE(IsMapped(run.index, 9));
  EXPECT_EQ(pool_.TakeAt(first_ + kArenaHugePages - 1, 2).count, 0u) << "beyond the window";
  EXPECT_EQ(pool_.TakeAt(first_ + pool_.extent() + 1, 1).count, 0u) << "would leave a gap";
  EXPECT_TRUE(pool_.CheckInvariants());
}

TEST_F(HugePagePoolTest, TakeDirtyTakesTheLongestRunItMayFromTheTop) {
  const HugeRun run = pool_.Take(100, 1);
  pool_.Put(run.index, 40, /*dirty=*/true);
  pool_.Put(run.index + 50, 10, /*dirty=*/true);
  pool_.Put(run.index + 60, 40, /*dirty=*/false);
  HugeRun dirty = pool_.TakeDirty(4);
  EXPECT_EQ(dirty.index, run.index + 56);
  EXPECT_EQ(dirty.count, 4u);
  dirty = pool_.TakeDirty(100);
  EXPECT_EQ(dirty.index, run.index + 50);
  EXPECT_EQ(dirty.count, 6u);
  dirty = pool_.TakeDirty(100);
  EXPECT_EQ(dirty.index, run.index);
  EXPECT_EQ(dirty.count, 40u);
  EXPECT_EQ(pool_.TakeDirty(100).count, 0u);
  EXPECT_EQ(pool_.dirty(), 0u);
  EXPECT_TRUE(pool_.CheckInvariants());
}

TEST_F(HugePagePoolTest, UnmappedPagesAreMappedAgainWhenTheEndCanNotGrow) {
  const HugeRun all = pool_.Take(kArenaHugePages, 1);
  ASSERT_EQ(all.count, kArenaHugePages);
  EXPECT_EQ(pool_.Take(1, 1).count, 0u) << "the window is full";
  memset(pool_.AddressOf(all.index + 10), 1, kHugePageSize);
  pool_.Put(all.index + 10, 5, /*dirty=*/true);
  EXPECT_EQ(pool_.UnmapFree(), 5u);
  EXPECT_EQ(pool_.mapped(), kArenaHugePages - 5);
  EXPECT_TRUE(IsUnmapped(all.index + 10, 5));
  EXPECT_TRUE(pool_.CheckInvariants());
  const HugeRun again = pool_.Take(3, 1);
  ASSERT_EQ(again.count, 3u);
  EXPECT_FALSE(again.dirty);
  EXPECT_TRUE(IsMapped(again.index, 3));
  EXPECT_EQ(*static_cast<char*>(pool_.AddressOf(again.index)), 0);
  EXPECT_EQ(pool_.mapped(), kArenaHugePages - 2);
  EXPECT_TRUE(pool_.CheckInvariants());
}

TEST_F(HugePagePoolTest, HolesFilledInPartBeforeARefusalStayFree) {
  const HugeRun all = pool_.Take(kArenaHugePages, 1);
  pool_.Put(all.index, 4, /*dirty=*/true);
  ASSERT_EQ(pool_.UnmapFree(), 4u);
  memory_.Refuse(FakeVirtualMemory::kMapAt, 3, 1);
  EXPECT_EQ(pool_.Take(4, 1).count, 0u);
  EXPECT_EQ(pool_.free(), 2u);
  EXPECT_TRUE(pool_.CheckInvariants());
  EXPECT_EQ(pool_.Take(4, 1).count, 4u);
  EXPECT_TRUE(IsMapped(all.index, 4));
  EXPECT_TRUE(pool_.CheckInvariants());
}

TEST_F(HugePagePoolTest, RefusedUnmapKeepsThePagesFree) {
  const HugeRun run = pool_.Take(3, 1);
  pool_.Put(run.index, 3, /*dirty=*/true);
  const size_t free = pool_.free();
  memory_.RefuseAll(FakeVirtualMemory::kUnmap);
  EXPECT_EQ(pool_.UnmapFree(), 0u);
  EXPECT_EQ(pool_.free(), free);
  EXPECT_EQ(pool_.dirty(), 3u);
  EXPECT_TRUE(pool_.CheckInvariants());
}

TEST_F(HugePagePoolTest, GrowthStepsOverSomebodyElsesMapping) {
  ASSERT_EQ(pool_.Take(1, 1).count, 1u);
  memory_.Occupy(AddressOf(first_ + pool_.extent()) + kHugePageSize, kHugePageSize);
  for (size_t i = 0; i < 20; ++i) {
    const HugeRun run = pool_.Take(4, 1);
    ASSERT_EQ(run.count, 4u);
    ASSERT_TRUE(IsMapped(run.index, 4));
  }
  EXPECT_GT(pool_.extent(), pool_.mapped()) << "nothing was stepped over";
  EXPECT_TRUE(pool_.CheckInvariants());
}

TEST_F(HugePagePoolTest, RefusedGrowthTakesNothing) {
  for (FakeVirtualMemory::Call call : {FakeVirtualMemory::kCommit, FakeVirtualMemory::kMapAt}) {
    memory_.RefuseAll(call);
    EXPECT_EQ(pool_.Take(1, 1).count, 0u);
    EXPECT_EQ(pool_.mapped(), 0u);
    memory_.RefuseNothing();
  }
  EXPECT_EQ(pool_.Take(1, 1).count, 1u);
  EXPECT_TRUE(pool_.CheckInvariants());
}

// A page is held by the caller, free (dirty or clean), or unknown to the pool.
enum class Page { kHeld, kClean, kDirty };

TEST_F(HugePagePoolTest, RandomStepsAgreeWithTheModel) {
  std::mt19937 random(4);
  std::map<size_t, Page> pages;   // mapped pages, by index
  std::map<size_t, size_t> held;  // runs the test holds: start to count
  const auto take = [&](HugeRun run) {
    if (run.count == 0) return;
    bool dirty = false;
    for (size_t i = run.index; i < run.index + run.count; ++i) {
      const auto page = pages.find(i);
      ASSERT_TRUE(page == pages.end() || page->second != Page::kHeld) << "handed out twice";
      dirty = dirty || (page != pages.end() && page->second == Page::kDirty);
      pages[i] = Page::kHeld;
    }
    EXPECT_EQ(run.dirty, dirty);
    ASSERT_TRUE(IsMapped(run.index, run.count));
    held[run.index] = run.count;
  };
  for (int step = 0; step < 6000; ++step) {
    const unsigned choice = random() % 100;
    if (choice < 40) {
      take(pool_.Take(1 + random() % (random() % 4 == 0 ? 40 : 4), size_t{1} << random() % 4));
    } else if (choice < 85 && !held.empty()) {
      auto it = held.begin();
      std::advance(it, random() % held.size());
      const bool dirty = random() % 2 == 0;
      pool_.Put(it->first, it->second, dirty);
      for (size_t i = 0; i < it->second; ++i) {
        pages[it->first + i] = dirty ? Page::kDirty : Page::kClean;
      }
      held.erase(it);
    } else if (choice < 92 && !held.empty()) {
      const auto last = std::prev(held.end());
      take(pool_.TakeAt(last->first + last->second, 1 + random() % 6));
    } else if (choice < 98) {
      const HugeRun run = pool_.TakeDirty(1 + random() % 8);
      take(run);
      if (run.count != 0) {
        for (size_t i = run.index; i < run.index + run.count; ++i) pages[i] = Page::kClean;
        held.erase(run.index);
        pool_.Put(run.index, run.count, /*dirty=*/false);
      }
    } else {
      pool_.UnmapFree();
      for (auto it = pages.begin(); it != pages.end();) {
        it = it->second == Page::kHeld ? std::next(it) : pages.erase(it);
      }
      EXPECT_EQ(pool_.free(), 0u);
    }
    if (HasFatalFailure()) return;
    ASSERT_TRUE(pool_.CheckInvariants()) << "step " << step;
    size_t in_use = 0;
    size_t dirty = 0;
    for (const auto& [index, page] : pages) {
      in_use += page == Page::kHeld;
      dirty += page == Page::kDirty;
    }
    ASSERT_EQ(pool_.mapped() - pool_.free(), in_use) << "step " << step;
    ASSERT_EQ(pool_.dirty(), dirty) << "step " << step;
    ASSERT_EQ(pool_.mapped() * kHugePageSize, memory_.mapped_in_arena()) << "step " << step;
  }
}

}  // namespace
}  // namespace spanmalloc

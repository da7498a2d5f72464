// SPDX-License-Identifier: Apache-2.0
//
// Caches that the program makes: what they hold of which arena, within which budget, and the table
// of their indices.
#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "allocator/cache/explicit_caches.h"
#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 8;

class ExplicitCacheTest : public testing::Test {
 protected:
  ExplicitCacheTest() { on_.budget.Init(int64_t{4} << 20); }
  ~ExplicitCacheTest() {
    EXPECT_TRUE(caches_.CheckInvariants());
    EXPECT_TRUE(on_.page_heap.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  unsigned CreateArena() {
    unsigned index = 0;
    EXPECT_TRUE(on_.arenas.Create({.dirty_decay_ms = 1000, .muzzy_decay_ms = 0}, &index));
    return index;
  }
  ExplicitCache& Create() {
    unsigned index = 0;
    EXPECT_TRUE(caches_.Create(&index));
    return *caches_.Find(index);
  }
  unsigned ArenaOf(const void* object) {
    const Span* span = on_.page_map.SpanOf(object);
    return ArenaSet::Owns(span) ? span->shard.load() - unsigned{PerCpuCentral::kMaxShards} : 0;
  }
  static void* Allocate(ExplicitCache& cache, unsigned arena, size_t c = kClass) {
    void* object = cache.Pop(arena, c);
    bool zeroed;
    return object != nullptr ? object : cache.Refill(arena, c, &zeroed);
  }
  static void Free(ExplicitCache& cache, unsigned arena, void* object, size_t c = kClass) {
    if (!cache.Push(arena, c, object)) cache.Overflow(arena, c, object);
  }
  size_t Held(const ExplicitCache& cache, size_t c = kClass) {
    size_t counts[kSizeClassEnd] = {};
    cache.AddCounts(counts);
    return counts[c];
  }
  CentralFreeListStats ArenaStats(size_t c = kClass) {
    CentralFreeListStats stats = {};
    on_.arenas.AddStats(static_cast<SizeClass>(c), &stats);
    return stats;
  }

  CachesOnFakes on_;
  ExplicitCaches caches_{ExplicitCacheContext{on_.central, on_.arenas, on_.metadata, on_.budget}};
};

TEST_F(ExplicitCacheTest, ReusesWhatWasFreedAndFillsInBatches) {
  ExplicitCache& cache = Create();
  void* object = Allocate(cache, 0);
  Free(cache, 0, object);
  EXPECT_EQ(Allocate(cache, 0), object);
  std::set<void*> objects = {object};
  for (int i = 0; i < 500; ++i) EXPECT_TRUE(objects.insert(Allocate(cache, 0)).second);
  EXPECT_LT(on_.central.Stats(kClass).fills, 60u);
  for (void* each : objects) Free(cache, 0, each);
  EXPECT_LT(on_.central.Stats(kClass).flushes, 60u);
  EXPECT_EQ(on_.Outside(kClass, Held(cache)), 0u);
  cache.Flush();
  EXPECT_EQ(Held(cache), 0u);
  EXPECT_EQ(on_.budget.left(), int64_t{4} << 20);
}

TEST_F(ExplicitCacheTest, GivesBlocksOfTheArenaThatIsNamed) {
  ExplicitCache& cache = Create();
  const unsigned arenas[] = {0, CreateArena(), CreateArena()};
  std::vector<std::pair<unsigned, void*>> live;
  for (int i = 0; i < 3000; ++i) {
    const unsigned arena = arenas[i / 100 % 3];
    void* object = Allocate(cache, arena);
    ASSERT_NE(object, nullptr);
    ASSERT_EQ(ArenaOf(object), arena);
    live.push_back({arena, object});
    if (i % 3 == 2) {
      // Of another arena than what the cache holds, mostly.
      const auto [home, other] = live[live.size() / 2];
      live.erase(live.begin() + static_cast<long>(live.size() / 2));
      Free(cache, home, other);
    }
  }
  for (const auto& [arena, object] : live) Free(cache, arena, object);
  EXPECT_EQ(on_.Outside(kClass, 0) + ArenaStats().taken - ArenaStats().returned, Held(cache));
  for (const unsigned arena : {arenas[1], arenas[2]}) {
    caches_.FlushArena(arena);
    EXPECT_TRUE(on_.arenas.Destroy(arena));
  }
}

TEST_F(ExplicitCacheTest, AnEmptyCacheTakesUpTheArenaOfWhatIsFreed) {
  ExplicitCache& maker = Create();
  ExplicitCache& taker = Create();
  const unsigned arena = CreateArena();
  void* object = Allocate(maker, arena);
  Free(taker, arena, object);
  EXPECT_EQ(taker.arena(), arena);
  EXPECT_EQ(Allocate(taker, arena), object);
  taker.Flush();
}

TEST_F(ExplicitCacheTest, FlushArenaEmptiesItsCachesAndNoOthers) {
  ExplicitCache& first = Create();
  ExplicitCache& second = Create();
  const unsigned arena = CreateArena();
  for (int i = 0; i < 50; ++i) {
    Allocate(first, arena);
    Allocate(second, 0);
  }
  Allocate(first, arena, kClass + 1);
  const size_t held = Held(second);
  EXPECT_GT(Held(first) + Held(first, kClass + 1), 0u);
  EXPECT_GT(held, 0u);
  caches_.FlushArena(arena);
  EXPECT_EQ(Held(first) + Held(first, kClass + 1), 0u);
  EXPECT_EQ(Held(second), held);
  EXPECT_TRUE(on_.arenas.Reset(arena));
  void* object = Allocate(first, arena);
  ASSERT_NE(object, nullptr);
  Free(first, arena, object);
}

TEST_F(ExplicitCacheTest, HoldsNoMoreThanTheBudgetAndABatch) {
  on_.budget.Init(100000);
  ExplicitCache& cache = Create();
  for (size_t c : {kClass, kClass + 20, kClass + 40}) {
    std::vector<void*> objects;
    for (int i = 0; i < 2000; ++i) objects.push_back(Allocate(cache, 0, c));
    for (void* object : objects) Free(cache, 0, object, c);
    size_t bytes = 0;
    for (size_t each = 1; each < kSizeClassEnd; ++each) {
      bytes += Held(cache, each) * kSizeClassTable[each].size;
      if (kSizeClassTable[each].size <= 16384) {
        bytes -= std::min(Held(cache, each), size_t{kSizeClassTable[each].batch}) *
                 kSizeClassTable[each].size;
      }
    }
    EXPECT_LE(bytes, 100000u);
  }
  cache.Flush();
  EXPECT_EQ(on_.budget.left(), 100000);
}

TEST_F(ExplicitCacheTest, ServesOnWithoutMemoryForArrays) {
  ExplicitCache& cache = Create();
  void* object = nullptr;
  ASSERT_EQ(on_.central.Remove(kClass, &object, 1), 1u);
  on_.memory.RefuseAll(FakeVirtualMemory::kMap);
  while (on_.metadata.Allocate(64) != nullptr) {
  }
  Free(cache, 0, object);
  EXPECT_EQ(Held(cache), 0u);
  EXPECT_NE(Allocate(cache, 0), nullptr);
  unsigned index = 0;
  EXPECT_FALSE(caches_.Create(&index));
  on_.memory.RefuseNothing();
}

TEST_F(ExplicitCacheTest, ThereIsNoneAtFirst) {
  for (unsigned index : {0u, 1u, 4092u, 4093u, ~0u}) {
    EXPECT_EQ(caches_.Find(index), nullptr);
    EXPECT_FALSE(caches_.Flush(index));
    EXPECT_FALSE(caches_.Destroy(index));
  }
  size_t counts[kSizeClassEnd] = {};
  EXPECT_EQ(caches_.AddCounts(counts), 0u);
}

TEST_F(ExplicitCacheTest, DestroyedIndicesAreGivenAgain) {
  for (unsigned i = 0; i < 5; ++i) {
    unsigned index = 99;
    ASSERT_TRUE(caches_.Create(&index));
    EXPECT_EQ(index, i);
  }
  Free(*caches_.Find(2), 0, Allocate(*caches_.Find(2), 0));
  ASSERT_TRUE(caches_.Destroy(2));
  EXPECT_EQ(caches_.Find(2), nullptr);
  EXPECT_FALSE(caches_.Destroy(2));
  EXPECT_EQ(on_.Outside(kClass, 0), 0u) << "what a destroyed cache held is lost";
  EXPECT_EQ(on_.budget.left(), int64_t{4} << 20);
  unsigned index = 99;
  ASSERT_TRUE(caches_.Create(&index));
  EXPECT_EQ(index, 2u);
  EXPECT_EQ(Held(*caches_.Find(2)), 0u);
  size_t counts[kSizeClassEnd] = {};
  EXPECT_EQ(caches_.AddCounts(counts), 5u);
}

TEST_F(ExplicitCacheTest, ThereAreAsManyAsFlagsCanName) {
  unsigned index = 0;
  for (unsigned i = 0; i < ExplicitCaches::kMaxCaches; ++i) {
    ASSERT_TRUE(caches_.Create(&index));
    ASSERT_EQ(index, i);
  }
  EXPECT_FALSE(caches_.Create(&index));
  EXPECT_TRUE(caches_.Destroy(77));
  EXPECT_TRUE(caches_.Create(&index));
  EXPECT_EQ(index, 77u);
}

TEST_F(ExplicitCacheTest, ReportsADoubleFreeWhenItGoesHome) {
  ExplicitCache& cache = Create();
  void* object = Allocate(cache, 0);
  Free(cache, 0, object);
  Free(cache, 0, object);
  cache.Flush();
  on_.central.Drain();
  const std::vector<BadPointer> faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kDoubleFree);
}

}  // namespace
}  // namespace spanmalloc

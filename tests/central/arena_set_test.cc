// SPDX-License-Identifier: Apache-2.0
//
// Explicit arenas: apart from each other and from the threads' heap, and freed all at once.
#include "allocator/central/arena_set.h"

#include <cstring>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 10;
constexpr ArenaSettings kSettings = {.dirty_decay_ms = 1000, .muzzy_decay_ms = 0};

class ArenaSetTest : public testing::Test {
 protected:
  ~ArenaSetTest() {
    EXPECT_TRUE(on_.node_heaps.CheckInvariants());
    EXPECT_TRUE(arenas_.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  unsigned Create() {
    unsigned index = 0;
    EXPECT_TRUE(arenas_.Create(kSettings, &index));
    return index;
  }
  CentralFreeListStats StatsOf(unsigned arena, SizeClass c = kClass) {
    CentralFreeListStats stats = {};
    arenas_.AddStats(arena, c, &stats);
    return stats;
  }
  void* Small(unsigned arena) {
    bool zeroed = false;
    void* object = arenas_.Allocate(arena, kClass, 1, 16, &zeroed);
    EXPECT_NE(object, nullptr);
    return object;
  }
  void* Large(unsigned arena, size_t size) {
    bool zeroed = false;
    void* block = arenas_.Allocate(arena, kNoSizeClass, size, kPageSize, &zeroed);
    EXPECT_NE(block, nullptr);
    return block;
  }

  CentralOnFakes on_;
  ArenaSet& arenas_ = on_.arenas;
};

TEST_F(ArenaSetTest, ThereIsNoneAtFirst) {
  bool zeroed;
  EXPECT_EQ(arenas_.end(), 1u);
  for (unsigned index : {0u, 1u, 1023u, 1024u, ~0u}) {
    EXPECT_FALSE(arenas_.Exists(index));
    EXPECT_FALSE(arenas_.Reset(index));
    EXPECT_FALSE(arenas_.Destroy(index));
    EXPECT_EQ(arenas_.Allocate(index, kClass, 1, 16, &zeroed), nullptr);
  }
}

TEST_F(ArenaSetTest, ArenasShareNoSpan) {
  const unsigned first = Create();
  const unsigned second = Create();
  EXPECT_NE(first, second);
  std::set<const Span*> first_spans;
  for (int i = 0; i < 500; ++i) {
    void* object = Small(first);
    const Span* span = on_.page_map.SpanOf(object);
    EXPECT_TRUE(ArenaSet::Owns(span));
    EXPECT_EQ(on_.page_map.ClassOf(object), kNoSizeClass) << "visible to the fast path of free";
    first_spans.insert(span);
  }
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(first_spans.count(on_.page_map.SpanOf(Small(second))), 0u);
  }
  void* object = nullptr;
  ASSERT_EQ(on_.central.Remove(kClass, &object, 1), 1u);
  EXPECT_FALSE(ArenaSet::Owns(on_.page_map.SpanOf(object)));
}

// Of the longest spans, too, whose parts are noted in two places.
TEST_F(ArenaSetTest, ResetForgetsWhatTheKernelHasOfSpans) {
  const unsigned arena = Create();
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    if (ShapeOf(c).objects < 2) continue;
    bool zeroed;
    EXPECT_NE(arenas_.Allocate(arena, c, 1, 16, &zeroed), nullptr);
  }
  arenas_.Purge(arena);
  EXPECT_TRUE(on_.node_heaps.CheckInvariants());
  EXPECT_TRUE(arenas_.Reset(arena));
  EXPECT_TRUE(on_.node_heaps.CheckInvariants());
  EXPECT_EQ(on_.node_heaps.ArenaHeapAt(arena)->HeldPages(), 0u);
}

TEST_F(ArenaSetTest, FreedObjectsServeTheArenaAgain) {
  const unsigned arena = Create();
  std::set<void*> objects;
  for (int i = 0; i < 100; ++i) objects.insert(Small(arena));
  ASSERT_EQ(objects.size(), 100u);
  for (void* object : objects) arenas_.Free(on_.page_map.SpanOf(object), object);
  const CentralFreeListStats stats = StatsOf(arena);
  EXPECT_EQ(stats.taken, 100u);
  EXPECT_EQ(stats.returned, 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(objects.count(Small(arena)), 1u);
}

TEST_F(ArenaSetTest, BatchesComeAndGoUnderOneLock) {
  const unsigned arena = Create();
  void* objects[PerCpuCentral::kMaxBatch];
  bool zeroed = false;
  const size_t got = arenas_.AllocateBatch(arena, kClass, objects, 30, &zeroed);
  ASSERT_GT(got, 1u);
  EXPECT_TRUE(zeroed);
  std::set<void*> seen(objects, objects + got);
  EXPECT_EQ(seen.size(), got);
  for (size_t i = 0; i < got; ++i) EXPECT_TRUE(ArenaSet::Owns(on_.page_map.SpanOf(objects[i])));
  arenas_.FreeBatch(arena, kClass, objects, got);
  const CentralFreeListStats stats = StatsOf(arena);
  EXPECT_EQ(stats.taken, got);
  EXPECT_EQ(stats.returned, got);
  EXPECT_EQ(stats.fills, 1u);
  EXPECT_EQ(stats.flushes, 1u);
}

TEST_F(ArenaSetTest, AFaultyBatchIsReported) {
  const unsigned arena = Create();
  const unsigned other = Create();
  void* kept = Small(arena);
  void* objects[] = {Small(arena), Small(arena), Small(other)};
  arenas_.FreeBatch(arena, kClass, objects, 2);
  EXPECT_TRUE(FaultLog::Take().empty());
  arenas_.FreeBatch(arena, kClass, objects + 1, 2);
  const std::vector<BadPointer> faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 2u);
  for (const BadPointer& bad : faults) EXPECT_EQ(bad.fault, Fault::kDoubleFree);
  arenas_.FreeBatch(arena, kClass, &kept, 1);
}

TEST_F(ArenaSetTest, WhatIsOfAnEarlierEpochIsForgotten) {
  const unsigned arena = Create();
  const ArenaEpoch first = arenas_.Epoch(arena);
  EXPECT_FALSE(first.IsOver());
  EXPECT_FALSE(ArenaEpoch().IsOver());
  void* objects[] = {Small(arena), Small(arena), Small(arena)};
  arenas_.FreeBatch(arena, kClass, objects, 1, first);
  EXPECT_EQ(StatsOf(arena).returned, 1u);
  ASSERT_TRUE(arenas_.Reset(arena));
  EXPECT_TRUE(first.IsOver());
  const ArenaEpoch second = arenas_.Epoch(arena);
  void* kept = Small(arena);
  const uint64_t returned = StatsOf(arena).returned;
  arenas_.FreeBatch(arena, kClass, objects + 1, 2, first);
  EXPECT_EQ(StatsOf(arena).returned, returned);
  EXPECT_TRUE(FaultLog::Take().empty());
  // Not even what has become an object again.
  arenas_.FreeBatch(arena, kClass, &kept, 1, first);
  EXPECT_EQ(StatsOf(arena).returned, returned);
  ASSERT_TRUE(arenas_.Destroy(arena));
  EXPECT_TRUE(second.IsOver());
  arenas_.FreeBatch(arena, kClass, &kept, 1, second);
  ASSERT_EQ(Create(), arena);
  EXPECT_TRUE(second.IsOver());
  EXPECT_TRUE(first.IsOver());
}

TEST_F(ArenaSetTest, ResetFreesItsBlocksAndNobodyElses) {
  const unsigned arena = Create();
  const unsigned other = Create();
  void* kept = Small(other);
  memset(kept, 7, 16);
  const size_t before = on_.node_heaps.Stats().span_pages;
  for (int i = 0; i < 1000; ++i) Small(arena);
  Large(arena, 100000);
  Large(arena, 5 << 20);
  ASSERT_TRUE(arenas_.Reset(arena));
  EXPECT_EQ(on_.node_heaps.Stats().span_pages, before);
  EXPECT_EQ(on_.node_heaps.Stats().large_spans, 0u);
  EXPECT_EQ(*static_cast<char*>(kept), 7);
  CentralFreeListStats stats = StatsOf(arena);
  EXPECT_EQ(stats.taken, 1000u);
  EXPECT_EQ(stats.returned, 1000u);
  EXPECT_EQ(stats.spans, 0u);
  stats = StatsOf(other);
  EXPECT_EQ(stats.taken - stats.returned, 1u) << "the other arena's object";
  EXPECT_TRUE(arenas_.Exists(arena));
  EXPECT_NE(Small(arena), nullptr);
}

TEST_F(ArenaSetTest, DestroyedIndicesAreGivenAgain) {
  const unsigned first = Create();
  const unsigned second = Create();
  Small(first);
  ASSERT_TRUE(arenas_.Destroy(first));
  EXPECT_FALSE(arenas_.Exists(first));
  EXPECT_FALSE(arenas_.Destroy(first));
  EXPECT_TRUE(arenas_.Exists(second));
  EXPECT_EQ(Create(), first);
  EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u);
}

TEST_F(ArenaSetTest, CreateFailsWithoutMemoryAndBeyondTheBound) {
  on_.memory.RefuseAll(FakeVirtualMemory::kMap);
  while (on_.metadata.Allocate(64) != nullptr) {
  }
  unsigned index = 0;
  EXPECT_FALSE(arenas_.Create(kSettings, &index));
  on_.memory.RefuseNothing();
  for (unsigned i = 1; i < ArenaSet::kMaxArenas; ++i) ASSERT_EQ(Create(), i);
  EXPECT_FALSE(arenas_.Create(kSettings, &index));
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// One central free list: its array, its spans, and the counts of both.
#include "allocator/central/central_free_list.h"

#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr uint16_t kShard = 5;

class CentralFreeListTest : public testing::TestWithParam<size_t> {
 protected:
  CentralFreeListTest() { list_.Init(class_, kShard); }
  ~CentralFreeListTest() {
    EXPECT_TRUE(list_.CheckInvariants());
    EXPECT_TRUE(on_.page_heap.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  std::vector<void*> Take(size_t count) {
    std::vector<void*> all;
    void* out[64];
    bool zeroed;
    while (all.size() < count) {
      const size_t got = list_.RemoveOrCarve(
          on_.heap, out, count - all.size() < 64 ? count - all.size() : 64, &zeroed);
      EXPECT_NE(got, 0u);
      if (got == 0) break;
      all.insert(all.end(), out, out + got);
    }
    return all;
  }
  // Returns how many the array took.
  size_t Insert(const std::vector<void*>& objects) {
    return list_.Insert(on_.heap, objects.data(), objects.size());
  }
  void PutInSpans(const std::vector<void*>& objects) {
    std::vector<ObjectRun> runs;
    for (uint32_t i = 0; i < objects.size(); ++i) {
      runs.push_back({on_.page_map.SpanOf(objects[i]), i, i + 1});
    }
    list_.PutOwned(on_.heap, objects.data(), runs.data(), runs.size());
    for (const ObjectRun& run : runs) EXPECT_EQ(run.span, nullptr) << "not taken";
  }
  CentralFreeListStats Stats() {
    CentralFreeListStats stats = {};
    list_.AddStats(&stats);
    return stats;
  }
  // Objects of all spans less those accounted for.
  void ExpectLive(size_t live) {
    const CentralFreeListStats stats = Stats();
    EXPECT_EQ(stats.spans * shape_.objects, live + stats.array_objects + stats.span_objects);
    EXPECT_EQ(stats.spans_made - stats.spans_freed, stats.spans);
    EXPECT_EQ(list_.held_hint(), stats.array_objects + stats.span_objects);
    EXPECT_TRUE(list_.CheckInvariants());
  }

  const SizeClass class_ = static_cast<SizeClass>(GetParam());
  const SpanShape& shape_ = ShapeOf(GetParam());
  CentralOnFakes on_;
  CentralFreeList list_;
};

// Two threads that return one object find its span; the first empties it, and its pages and its
// descriptor may serve others before the second comes to it.
TEST_P(CentralFreeListTest, AnObjectOfASpanThatWasFreedMeanwhileIsADoubleFree) {
  const std::vector<void*> objects = Take(shape_.objects);
  Take(1);  // of another span: the last one with free objects isn't freed
  ObjectRun run = {on_.page_map.SpanOf(objects[0]), 0, 1};
  ObjectRun run_again = run;
  PutInSpans(objects);
  ASSERT_EQ(on_.page_map.SpanOf(objects[0]), nullptr) << "still there";
  list_.PutOwned(on_.heap, objects.data(), &run, 1);
  on_.page_heap.AllocateLarge(3, kPageSize);
  run_again.span->shard.store(kShard, std::memory_order_relaxed);
  list_.PutOwned(on_.heap, objects.data(), &run_again, 1);
  const auto faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 2u);
  for (const BadPointer& bad : faults) {
    EXPECT_EQ(bad.fault, Fault::kDoubleFree);
    EXPECT_EQ(bad.pointer, objects[0]);
  }
  ExpectLive(1);
}

// As above, and the descriptor is another list's by then: nobody else would look at the run again.
TEST_P(CentralFreeListTest, ARunWhoseSpanIsAnotherListsMeanwhileIsADoubleFree) {
  const std::vector<void*> objects = Take(2);
  Span* span = on_.page_map.SpanOf(objects[0]);
  for (uint32_t end : {1u, 2u}) {
    if (end == 2 && on_.page_map.SpanOf(objects[1]) != span) break;
    ObjectRun run = {span, 0, end};
    span->shard.store(kShard + 1, std::memory_order_relaxed);
    list_.PutOwned(on_.heap, objects.data(), &run, 1);
    span->shard.store(kShard, std::memory_order_relaxed);
    EXPECT_EQ(run.span, nullptr);
    const auto faults = FaultLog::Take();
    ASSERT_EQ(faults.size(), end);
    for (uint32_t i = 0; i < end; ++i) {
      EXPECT_EQ(faults[i].fault, Fault::kDoubleFree);
      EXPECT_EQ(faults[i].pointer, objects[i]);
    }
  }
  ExpectLive(2);
}

TEST_P(CentralFreeListTest, EmptyListGivesNothingWithoutASpan) {
  void* out[8];
  EXPECT_EQ(list_.Remove(on_.heap, out, 8, 0), 0u);
  EXPECT_EQ(list_.DrainArray(out, 8), 0u);
  EXPECT_EQ(list_.held_hint(), 0u);
  ExpectLive(0);
}

TEST_P(CentralFreeListTest, EveryObjectIsGivenOnce) {
  const size_t count = 3 * shape_.objects + 1;
  const std::vector<void*> objects = Take(count);
  EXPECT_EQ(std::set<void*>(objects.begin(), objects.end()).size(), count);
  EXPECT_EQ(Stats().spans, 4u);
  EXPECT_EQ(Stats().taken, count);
  for (void* object : objects) {
    const Span* span = on_.page_map.SpanOf(object);
    ASSERT_NE(span, nullptr);
    ASSERT_EQ(span->shard, kShard);
    ASSERT_EQ(on_.page_map.ClassOf(object), class_);
  }
  ExpectLive(count);
}

TEST_P(CentralFreeListTest, FreshObjectsAreZeroed) {
  void* out[64];
  bool zeroed = false;
  const size_t got = list_.RemoveOrCarve(on_.heap, out, 64, &zeroed);
  ASSERT_NE(got, 0u);
  EXPECT_TRUE(zeroed);
  for (size_t i = 0; i < got; ++i) {
    for (size_t b = 0; b < shape_.size; ++b) ASSERT_EQ(static_cast<char*>(out[i])[b], 0);
  }
  Insert({out[0]});
  list_.RemoveOrCarve(on_.heap, out, 1, &zeroed);
  EXPECT_FALSE(zeroed) << "an object that was used";
}

TEST_P(CentralFreeListTest, SpansOfOneObjectAreMadeAsManyAsAreWanted) {
  void* out[4];
  bool zeroed;
  const size_t got = list_.RemoveOrCarve(on_.heap, out, 4, &zeroed);
  EXPECT_EQ(got, shape_.objects == 1 || shape_.objects > 4 ? 4 : shape_.objects);
  ExpectLive(got);
  PutInSpans(std::vector<void*>(out, out + got));
  const size_t again = list_.RemoveOrCarve(on_.heap, out, 4, &zeroed);
  EXPECT_FALSE(zeroed);
  ExpectLive(again);
}

TEST_P(CentralFreeListTest, TheArrayTakesUpToItsLimitAndGivesTheLastFirst) {
  const std::vector<void*> objects = Take(kSizeClassTable[class_].central_limit + 10);
  EXPECT_EQ(Insert(objects), kSizeClassTable[class_].central_limit);
  EXPECT_EQ(Stats().array_objects, kSizeClassTable[class_].central_limit);
  EXPECT_EQ(Stats().returned, objects.size()) << "the caller returns the rest to the spans";
  PutInSpans({objects.begin() + kSizeClassTable[class_].central_limit, objects.end()});
  ExpectLive(0);
  std::set<void*> again;
  void* out[64];
  while (Stats().array_objects != 0) {
    const size_t got = list_.Remove(on_.heap, out, 64, 0);
    ASSERT_NE(got, 0u);
    again.insert(out, out + got);
  }
  EXPECT_EQ(again, std::set<void*>(objects.begin(),
                                   objects.begin() + kSizeClassTable[class_].central_limit));
}

TEST_P(CentralFreeListTest, TheReserveStaysInTheArray) {
  const std::vector<void*> objects = Take(shape_.objects * 12);
  const size_t held =
      kSizeClassTable[class_].central_limit < 12 ? kSizeClassTable[class_].central_limit : 12;
  Insert({objects.begin(), objects.begin() + static_cast<long>(held)});
  void* out[64];
  if (held > 1) EXPECT_EQ(list_.Remove(on_.heap, out, 64, 1), held - 1);
  EXPECT_EQ(list_.Remove(on_.heap, out, 64, 1), 0u);
  EXPECT_EQ(Stats().array_objects, 1u);
}

TEST_P(CentralFreeListTest, LowWaterIsWhatNobodyTouched) {
  const size_t limit = kSizeClassTable[class_].central_limit;
  const std::vector<void*> objects = Take(limit);
  Insert(objects);
  EXPECT_EQ(list_.TakeLowWater(), 0u) << "just put in";
  EXPECT_EQ(list_.TakeLowWater(), limit);
  void* out[64];
  ASSERT_EQ(list_.Remove(on_.heap, out, 1, 0), 1u);
  Insert({out[0]});
  EXPECT_EQ(list_.TakeLowWater(), limit - 1);
  EXPECT_EQ(list_.DrainArray(out, 2), 2u);
  EXPECT_EQ(list_.TakeLowWater(), limit - 2);
  EXPECT_EQ(Stats().returned, limit + 1) << "draining is no traffic";
}

TEST_P(CentralFreeListTest, EmptySpansGoBackButOne) {
  const std::vector<void*> objects = Take(4 * shape_.objects);
  PutInSpans(objects);
  ExpectLive(0);
  EXPECT_EQ(Stats().spans, shape_.objects == 1 ? 0u : 1u);
  list_.FreeEmptySpans(on_.heap);
  EXPECT_EQ(Stats().spans, 0u);
  EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u);
}

TEST_P(CentralFreeListTest, TheFullestSpansGiveFirst) {
  const size_t n = shape_.objects;
  if (n < 16) GTEST_SKIP() << "spans too short to differ";
  const std::vector<void*> objects = Take(3 * n);
  // The second span is nearly full, the others nearly empty.
  PutInSpans({objects.begin(), objects.begin() + static_cast<long>(n - 1)});
  PutInSpans({objects[n], objects[n + 1]});
  PutInSpans({objects.begin() + static_cast<long>(2 * n), objects.end() - 1});
  EXPECT_EQ(Stats().spans_reused, 3u);
  void* out[2];
  ASSERT_EQ(list_.Remove(on_.heap, out, 2, 0), 2u);
  EXPECT_EQ(out[0], objects[n]);
  EXPECT_EQ(out[1], objects[n + 1]);
}

class SpanReleaseTest : public CentralFreeListTest {
 protected:
  // Makes spans of which only the first object each is in use.
  void SetUp() override {
    if (shape_.objects == 1) GTEST_SKIP() << "such a span is full or goes back as a whole";
    if (shape_.pages * kPageSize - shape_.objects * shape_.size >= kReleaseUnit) {
      GTEST_SKIP() << "there is a part behind the last object";
    }
    objects_ = Take(kSpans * shape_.objects);
    for (size_t i = 0; i < objects_.size(); ++i) memset(objects_[i], 1, shape_.size);
    std::vector<void*> freed;
    for (size_t i = 0; i < objects_.size(); ++i) {
      (i % shape_.objects == 0 ? kept_ : freed).push_back(objects_[i]);
    }
    PutInSpans(freed);
  }
  void Tick() { list_.TakeLowWater(); }
  // Returns the parts that a search released.
  size_t Search(IdleSince since, size_t bytes = ~size_t{0}, size_t spans = 10000) {
    const size_t before = Stats().released_parts;
    SpanSearch search = {.bytes = bytes, .spans = spans};
    list_.ReleaseIdle(on_.heap, since, &search);
    EXPECT_TRUE(list_.CheckInvariants());
    EXPECT_EQ(on_.page_heap.Stats().release_calls, on_.memory.calls(Call::kRelease));
    return Stats().released_parts - before;
  }
  // How many parts of a span its first object leaves free.
  size_t PartsPerSpan() const {
    return shape_.pages * (kPageSize / kReleaseUnit) - (shape_.size - 1) / kReleaseUnit - 1;
  }

  using Call = FakeVirtualMemory::Call;
  static constexpr size_t kSpans = 40;
  std::vector<void*> objects_;
  std::vector<void*> kept_;
};

TEST_P(SpanReleaseTest, WhatWasFreeSinceTheTickBeforeLastGoes) {
  EXPECT_EQ(Search(IdleSince::kTick), 0u) << "just freed";
  Tick();
  EXPECT_EQ(Search(IdleSince::kTick), 0u) << "not free for a whole tick";
  Tick();
  EXPECT_EQ(Search(IdleSince::kTick), kSpans * PartsPerSpan());
  EXPECT_EQ(Search(IdleSince::kTick), 0u) << "again";
  for (void* object : kept_) {
    for (size_t b = 0; b < shape_.size; ++b)
      ASSERT_EQ(static_cast<char*>(object)[b], 1) << "in use";
  }
  EXPECT_EQ(static_cast<char*>(objects_.back())[shape_.size - 1], 0) << "still resident";
}

TEST_P(SpanReleaseTest, InASmallHeapLessIsWorthTheSearch) {
  const size_t left = 32 * 1024 / shape_.size;
  const std::vector<void*> wanted = Take(kSpans * (shape_.objects - 1) - left);
  Tick();
  Tick();
  EXPECT_GT(Search(IdleSince::kTick), 0u);
  // Once it was large, it counts as such.
  const std::vector<void*> rest = Take(left);
  PutInSpans(rest);
  Span* span = on_.page_heap.AllocateLarge((size_t{200} << 20) / kPageSize, kPageSize);
  on_.page_heap.FreeLarge(reinterpret_cast<void*>(span->start));
  Tick();
  Tick();
  EXPECT_EQ(Search(IdleSince::kTick), 0u);
}

TEST_P(SpanReleaseTest, APeriodCountsAllOfItsTicks) {
  Search(IdleSince::kPeriod);
  Tick();
  const std::vector<void*> wanted = Take(kSpans * (shape_.objects - 1));
  PutInSpans(wanted);
  for (int i = 0; i < 5; ++i) Tick();
  EXPECT_EQ(Search(IdleSince::kPeriod), 0u) << "all was in use within the period";
  for (int i = 0; i < 5; ++i) Tick();
  EXPECT_EQ(Search(IdleSince::kPeriod), kSpans * PartsPerSpan());
}

TEST_P(SpanReleaseTest, ATickOfTheSpansAloneCounts) {
  list_.TickSpans();
  EXPECT_EQ(Search(IdleSince::kTick), 0u) << "not free for a whole tick";
  list_.TickSpans();
  EXPECT_EQ(Search(IdleSince::kTick), kSpans * PartsPerSpan());
}

TEST_P(SpanReleaseTest, SpansSearchedInVainCountLess) {
  on_.memory.RefuseAll(Call::kRelease);
  Tick();
  Tick();
  SpanSearch search = {.bytes = ~size_t{0}, .spans = 5};
  list_.ReleaseIdle(on_.heap, IdleSince::kTick, &search);
  EXPECT_EQ(search.spans, 0u);
  EXPECT_EQ(search.fruitless, 5 * SpanSearch::kFruitless);
}

TEST_P(SpanReleaseTest, ASearchKeepsItsLimitsAndGoesOn) {
  Tick();
  Tick();
  EXPECT_EQ(Search(IdleSince::kTick, ~size_t{0}, 3), 3 * PartsPerSpan());
  EXPECT_EQ(Search(IdleSince::kTick, 1), PartsPerSpan()) << "one span is enough";
  EXPECT_EQ(Search(IdleSince::kTick, ~size_t{0}, 2), 2 * PartsPerSpan());
}

TEST_P(SpanReleaseTest, ReleasedObjectsAreTakenLastAndCountedBack) {
  Tick();
  Tick();
  Search(IdleSince::kTick, ~size_t{0}, kSpans / 2);
  const size_t released = Stats().released_parts;
  std::vector<void*> taken = Take(kSpans / 2 * (shape_.objects - 1));
  EXPECT_EQ(Stats().released_parts, released) << "spans that weren't released come first";
  const std::vector<void*> more = Take(kSpans / 2 * (shape_.objects - 1));
  EXPECT_LE(Stats().released_parts, kSpans) << "but for tails behind the last objects";
  EXPECT_EQ(on_.page_heap.Stats().retaken_parts, released - Stats().released_parts);
  taken.insert(taken.end(), more.begin(), more.end());
  PutInSpans(taken);
  PutInSpans(kept_);
  ExpectLive(0);
  list_.FreeEmptySpans(on_.heap);
  EXPECT_EQ(Stats().released_parts, 0u);
}

TEST_P(SpanReleaseTest, ARefusalLeavesThingsAsTheyAre) {
  on_.memory.RefuseAll(Call::kRelease);
  Tick();
  Tick();
  SpanSearch search = {.bytes = ~size_t{0}, .spans = 100};
  list_.ReleaseIdle(on_.heap, IdleSince::kTick, &search);
  EXPECT_EQ(Stats().released_parts, 0u);
  ExpectLive(kSpans);
}

INSTANTIATE_TEST_SUITE_P(Classes, SpanReleaseTest, testing::Values(4u, 24u, 32u, 47u, 48u, 53u),
                         testing::PrintToStringParamName());

TEST_P(CentralFreeListTest, PutOwnedLeavesOtherShardsObjects) {
  CentralFreeList other;
  other.Init(class_, kShard + 1);
  std::vector<void*> objects = Take(2);
  bool zeroed;
  void* foreign;
  ASSERT_EQ(other.RemoveOrCarve(on_.heap, &foreign, 1, &zeroed), 1u);
  void* batch[] = {objects[0], foreign, nullptr, objects[1]};
  Span* foreign_span = on_.page_map.SpanOf(foreign);
  ObjectRun runs[] = {{on_.page_map.SpanOf(batch[0]), 0, 1},
                      {foreign_span, 1, 2},
                      {nullptr, 2, 3},
                      {on_.page_map.SpanOf(batch[3]), 3, 4}};
  list_.PutOwned(on_.heap, batch, runs, 4);
  EXPECT_EQ(runs[0].span, nullptr);
  EXPECT_EQ(runs[1].span, foreign_span);
  EXPECT_EQ(runs[3].span, nullptr);
  ExpectLive(0);
  other.PutOwned(on_.heap, batch, runs, 4);
  EXPECT_EQ(runs[1].span, nullptr);
  EXPECT_TRUE(other.CheckInvariants());
}

TEST_P(CentralFreeListTest, OutOfMemoryGivesNothingAndLosesNothing) {
  const std::vector<void*> objects = Take(shape_.objects);
  on_.memory.RefuseAll(FakeVirtualMemory::kMapAt);
  on_.memory.RefuseAll(FakeVirtualMemory::kMap);
  std::vector<void*> more;
  void* out[64];
  bool zeroed;
  while (const size_t got = list_.RemoveOrCarve(on_.heap, out, 64, &zeroed)) {
    more.insert(more.end(), out, out + got);
  }
  ExpectLive(objects.size() + more.size());
  // The array may find no memory to grow; what doesn't fit is the caller's to put into spans.
  const size_t fitted = Insert(objects);
  PutInSpans({objects.begin() + static_cast<long>(fitted), objects.end()});
  ExpectLive(more.size());
}

INSTANTIATE_TEST_SUITE_P(Classes, CentralFreeListTest,
                         testing::Values<size_t>(1, 4, 16, 24, 33, 48, 52, 53, kSizeClasses),
                         [](const testing::TestParamInfo<size_t>& info) {
                           return "Size" + std::to_string(kSizeClassTable[info.param].size);
                         });

}  // namespace
}  // namespace spanmalloc

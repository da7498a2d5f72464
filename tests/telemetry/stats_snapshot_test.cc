// SPDX-License-Identifier: Apache-2.0
//
// The numbers add up: within a snapshot whatever threads do meanwhile, and against what the
// threads hold once they stand still.
#include "allocator/telemetry/stats_snapshot.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "allocator/telemetry/arena_snapshots.h"
#include "gtest/gtest.h"
#include "tests/telemetry/test_heap.h"

namespace spanmalloc {
namespace {

// A thread of the program, with a cache and the objects that it holds.
class Worker {
 public:
  Worker(TestHeap& heap, unsigned seed)
      : heap_(heap), random_(seed), state_(heap.registry.Create()) {}

  void Allocate(size_t c) {
    void* object = state_->cache.Pop(c);
    bool zeroed = false;
    if (object == nullptr) object = state_->Refill(c, &zeroed);
    ASSERT_NE(object, nullptr);
    held_[c].push_back(object);
  }

  void Free(size_t c) {
    if (held_[c].empty()) return;
    const size_t i = random_() % held_[c].size();
    void* object = held_[c][i];
    held_[c][i] = held_[c].back();
    held_[c].pop_back();
    if (!state_->cache.Push(c, object)) state_->Overflow(c, object);
  }

  // Mostly small classes; grows and shrinks in turn.
  void Run(size_t steps) {
    for (size_t i = 0; i < steps; ++i) {
      const size_t c = 1 + random_() % (random_() % 16 == 0 ? kSizeClasses : 20);
      const bool growing = (i / 512) % 2 == 0;
      if (random_() % 8 < (growing ? 5u : 3u)) {
        Allocate(c);
      } else {
        Free(c);
      }
    }
  }

  void FreeAll() {
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      while (!held_[c].empty()) Free(c);
    }
  }

  void End() {
    heap_.registry.Destroy(state_);
    state_ = nullptr;
  }

  size_t held(size_t c) const { return held_[c].size(); }

 private:
  TestHeap& heap_;
  std::mt19937 random_;
  ThreadState* state_;
  std::vector<void*> held_[kSizeClassEnd];
};

void ExpectAddsUp(const StatsSnapshot& s) {
  size_t live = 0;
  uint64_t allocations = 0;
  uint64_t deallocations = 0;
  size_t thread_cached = 0;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const ClassStats& stats = s.classes[c];
    EXPECT_EQ(stats.allocations - stats.deallocations, stats.live) << c;
    EXPECT_LE(stats.nonfull_spans, stats.spans) << c;
    EXPECT_LE(stats.spans, stats.spans_made) << c;
    live += stats.live * kSizeClassTable[c].size;
    allocations += stats.allocations;
    deallocations += stats.deallocations;
    thread_cached += stats.thread_cached * kSizeClassTable[c].size;
  }
  EXPECT_EQ(s.small_live, live);
  EXPECT_EQ(s.small_allocations, allocations);
  EXPECT_EQ(s.small_deallocations, deallocations);
  EXPECT_EQ(s.thread_cached, thread_cached);
  EXPECT_EQ(s.allocated(), s.small_live + s.large_live());
  EXPECT_LE(s.active(), s.resident());
  EXPECT_LE(s.resident(), s.mapped() - s.retained());
  EXPECT_EQ(s.active() + s.dirty() + s.retained(), s.heap.mapped_pages * kPageSize);
}

void ExpectWentForward(const StatsSnapshot& before, const StatsSnapshot& after) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    EXPECT_LE(before.classes[c].allocations, after.classes[c].allocations) << c;
    EXPECT_LE(before.classes[c].deallocations, after.classes[c].deallocations) << c;
    EXPECT_LE(before.classes[c].fills, after.classes[c].fills) << c;
    EXPECT_LE(before.classes[c].flushes, after.classes[c].flushes) << c;
    EXPECT_LE(before.classes[c].spans_made, after.classes[c].spans_made) << c;
  }
  EXPECT_LE(before.heap.large_allocated, after.heap.large_allocated);
  EXPECT_LE(before.heap.released_pages, after.heap.released_pages);
}

// Requires: nobody allocates or frees.
void ExpectMatches(const StatsSnapshot& s, const std::vector<std::unique_ptr<Worker>>& workers) {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    size_t held = 0;
    for (const auto& worker : workers) held += worker->held(c);
    const ClassStats& stats = s.classes[c];
    EXPECT_EQ(stats.live, held) << c;
    EXPECT_EQ(stats.spans * ShapeOf(c).objects,
              stats.live + stats.thread_cached + stats.central_cached + stats.span_free)
        << c;
  }
  EXPECT_LE(s.allocated(), s.active());
}

TEST(StatsSnapshotTest, AFreshHeapIsEmpty) {
  const auto heap = std::make_unique<TestHeap>();
  StatsCollector collector;
  StatsSnapshot s;
  collector.Collect(heap->sources(), &s);
  ExpectAddsUp(s);
  EXPECT_EQ(s.allocated(), 0u);
  EXPECT_EQ(s.threads, 0u);
  EXPECT_EQ(s.small_allocations, 0u);
}

TEST(StatsSnapshotTest, CountsWhatOneThreadHolds) {
  const auto heap = std::make_unique<TestHeap>();
  StatsCollector collector;
  std::vector<std::unique_ptr<Worker>> workers;
  workers.push_back(std::make_unique<Worker>(*heap, 1));
  for (int i = 0; i < 100; ++i) workers[0]->Allocate(3);
  for (int i = 0; i < 30; ++i) workers[0]->Free(3);
  StatsSnapshot s;
  collector.Collect(heap->sources(), &s);
  ExpectAddsUp(s);
  ExpectMatches(s, workers);
  EXPECT_EQ(s.threads, 1u);
  EXPECT_EQ(s.classes[3].live, 70u);
  EXPECT_EQ(s.small_live, 70 * kSizeClassTable[3].size);
  EXPECT_GE(s.classes[3].thread_cached, 30u);
  EXPECT_GT(s.metadata(), 0u);
}

TEST(StatsSnapshotTest, LargeBlocksCountInPages) {
  const auto heap = std::make_unique<TestHeap>();
  StatsCollector collector;
  Span* span = heap->page_heap.AllocateLarge(1000, kPageSize);
  ASSERT_NE(span, nullptr);
  StatsSnapshot s;
  collector.Collect(heap->sources(), &s);
  ExpectAddsUp(s);
  EXPECT_EQ(s.large_live(), 1000 * kPageSize);
  EXPECT_EQ(s.heap.large_allocated - s.heap.large_freed, s.heap.large_spans);
  EXPECT_EQ(heap->page_heap.FreeLarge(reinterpret_cast<void*>(span->start)), LargeFault::kNone);
  collector.Collect(heap->sources(), &s);
  ExpectAddsUp(s);
  EXPECT_EQ(s.large_live(), 0u);
  EXPECT_EQ(s.heap.large_freed, 1u);
}

// Blocks and parts of spans that were counted, and are gone with their spans when pages are
// counted.
TEST(StatsSnapshotTest, WhatWasCountedAtDifferentMomentsGivesNoNegativeNumbers) {
  const auto s = std::make_unique<StatsSnapshot>();
  constexpr size_t kClass = 30;
  s->classes[kClass].live = 1'000'000;
  s->classes[kClass].thread_cached = 1000;
  s->classes[kClass].released_parts = 5000;
  s->heap.mapped_pages = 2000;
  s->heap.span_pages = 1100;
  s->heap.large_pages = 1000;
  s->SumUp();
  EXPECT_GE(s->active(), s->large_live());
  EXPECT_EQ(s->rest_of_spans(), 0u);
  EXPECT_EQ(s->active() + s->dirty() + s->retained(), s->heap.mapped_pages * kPageSize);
}

// A sized free brought a borrowed object as one of a class of which only an arena has blocks.
TEST(StatsSnapshotTest, AMisnamedFreeTakesNothingFromArenas) {
  const auto heap = std::make_unique<TestHeap>();
  constexpr SizeClass kClass = 8;
  unsigned index = 0;
  ASSERT_TRUE(heap->arenas.Create(ArenaSettings{}, &index));
  bool zeroed;
  for (int i = 0; i < 10; ++i) {
    ASSERT_NE(heap->arenas.Allocate(index, kClass, 1, kMinAlignment, &zeroed), nullptr);
  }
  void* borrowed[3];
  ASSERT_EQ(heap->central.Remove(kClass + 1, borrowed, 3), 3u);
  heap->central.Insert(kClass, borrowed, 3);
  StatsCollector collector;
  ArenaSnapshots parts;
  StatsSnapshot all;
  collector.Collect(heap->sources(), &all, {.arenas = &parts});
  EXPECT_EQ(parts.Of(0)->classes[kClass].live, 0u);
  EXPECT_EQ(parts.Of(index)->classes[kClass].live, 10u);
}

void ExpectLargeAddUp(const StatsSnapshot& s) {
  uint64_t made = 0;
  uint64_t freed = 0;
  for (const LargeClassStats& k : s.large_classes) {
    made += k.made;
    freed += k.freed;
  }
  EXPECT_EQ(made - freed, s.heap.large_allocated - s.heap.large_freed);
}

// Arenas that fill, empty and are destroyed by one thread, a heap that another uses: at any moment
// the arenas' numbers are the sum, and no arena is counted as one that is gone as well.
TEST(StatsSnapshotTest, ArenasAddUpWhileTheyComeAndGo) {
  const auto heap = std::make_unique<TestHeap>();
  std::atomic<bool> stop{false};
  std::thread arenas([&] {
    std::mt19937 random(1);
    while (!stop.load()) {
      unsigned index = 0;
      ASSERT_TRUE(heap->arenas.Create(ArenaSettings{}, &index));
      for (int i = 0; i < 20; ++i) {
        bool zeroed;
        const size_t size = i % 2 != 0 ? 100 : 300000 + random() % 3000000;
        const size_t c = size <= kMaxClassSize ? SizeClassOf(size) : kNoSizeClass;
        ASSERT_NE(heap->arenas.Allocate(index, c, size, kMinAlignment, &zeroed), nullptr);
      }
      ASSERT_TRUE(heap->arenas.Destroy(index));
    }
  });
  std::thread common([&] {
    std::mt19937 random(2);
    while (!stop.load()) {
      Span* span = heap->page_heap.AllocateLarge(70 + random() % 300, kPageSize);
      ASSERT_NE(span, nullptr);
      heap->page_heap.FreeLarge(reinterpret_cast<void*>(span->start));
    }
  });
  StatsCollector collector;
  ArenaSnapshots parts;
  StatsSnapshot all;
  uint64_t large_made = 0;
  for (int round = 0; round < 3000; ++round) {
    collector.Collect(heap->sources(), &all, {.arenas = &parts});
    ExpectLargeAddUp(all);
    EXPECT_LE(large_made, all.heap.large_allocated);
    large_made = all.heap.large_allocated;
    if (parts.destroyed() == nullptr) continue;
    PageHeapStats sum = parts.destroyed()->heap;
    uint64_t taken = parts.destroyed()->small_allocations;
    ExpectLargeAddUp(*parts.destroyed());
    for (size_t i = 0; i < 8; ++i) {
      const StatsSnapshot* arena = parts.Of(i);
      if (arena == nullptr) continue;
      ExpectLargeAddUp(*arena);
      sum.Add(arena->heap);
      taken += arena->small_allocations;
    }
    EXPECT_EQ(taken, all.small_allocations);
    EXPECT_EQ(sum.large_allocated, all.heap.large_allocated);
    EXPECT_EQ(sum.large_pages, all.heap.large_pages);
    EXPECT_EQ(sum.span_pages, all.heap.span_pages);
    EXPECT_EQ(sum.mapped_pages, all.heap.mapped_pages);
    if (HasFailure()) break;
  }
  stop.store(true);
  arenas.join();
  common.join();
}

// What a thread caches of an arena counts as free there, and its counts never go back.
TEST(StatsSnapshotTest, WhatIsCachedOfAnArenaIsFreeInIt) {
  const auto heap = std::make_unique<TestHeap>();
  constexpr size_t kClass = 8;
  StatsCollector collector;
  ArenaSnapshots parts;
  StatsSnapshot all;
  for (int life = 0; life < 3; ++life) {
    unsigned index = 0;
    ASSERT_TRUE(heap->arenas.Create(ArenaSettings{}, &index));
    ThreadState* state = heap->registry.CreateFor(index, nullptr);
    ThreadState* common = heap->registry.Create();
    std::vector<void*> objects;
    uint64_t frees = 0;
    for (size_t live : {0, 1, 50, 20, 0, 70, 3}) {
      bool zeroed;
      while (objects.size() < live) {
        void* object = state->PopOfArena(kClass);
        objects.push_back(object != nullptr ? object : state->Refill(kClass, &zeroed));
      }
      while (objects.size() > live) {
        if (!state->PushOfArena(kClass, objects.back())) state->Overflow(kClass, objects.back());
        objects.pop_back();
      }
      void* other = common->cache.Pop(kClass);
      if (other == nullptr) other = common->Refill(kClass, &zeroed);
      collector.Collect(heap->sources(), &all, {.arenas = &parts});
      const ClassStats& arena = parts.Of(index)->classes[kClass];
      EXPECT_EQ(arena.live, live);
      EXPECT_EQ(arena.allocations - arena.deallocations, live);
      EXPECT_GE(arena.deallocations, frees);
      frees = arena.deallocations;
      size_t counts[kSizeClassEnd] = {};
      state->AddCounts(counts);
      EXPECT_EQ(arena.thread_cached, counts[kClass]);
      EXPECT_EQ(parts.Of(index)->thread_cached, counts[kClass] * kSizeClassTable[kClass].size);
      EXPECT_EQ(parts.Of(0)->classes[kClass].live, 1u);
      EXPECT_EQ(all.classes[kClass].live, live + 1);
      EXPECT_EQ(all.thread_cached, parts.Of(0)->thread_cached + parts.Of(index)->thread_cached);
      EXPECT_EQ(all.threads, 1u);
      if (!common->cache.Push(kClass, other)) common->Overflow(kClass, other);
    }
    // Another life of the same index.
    ASSERT_TRUE(heap->arenas.Destroy(index));
    collector.Collect(heap->sources(), &all, {.arenas = &parts});
    EXPECT_EQ(all.classes[kClass].live, 0u);
    heap->registry.Destroy(state);
    heap->registry.Destroy(common);
  }
}

// Several threads at work, snapshots all the while; then, standing still, the exact sums; then,
// after all was freed and every thread has ended, nothing is held anywhere but in spans.
TEST(StatsSnapshotTest, NumbersAddUpUnderTraffic) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 4;
  const auto heap = std::make_unique<TestHeap>();
  StatsCollector collector;
  StatsSnapshot before;
  StatsSnapshot after;
  collector.Collect(heap->sources(), &before);
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < kThreads; ++i) workers.push_back(std::make_unique<Worker>(*heap, i));
  for (int round = 0; round < kRounds; ++round) {
    std::atomic<int> running{kThreads};
    std::vector<std::thread> threads;
    for (auto& worker : workers) {
      threads.emplace_back([&worker, &running] {
        worker->Run(20000);
        running.fetch_sub(1);
      });
    }
    do {
      collector.Collect(heap->sources(), &after);
      ExpectAddsUp(after);
      ExpectWentForward(before, after);
      before = after;
    } while (running.load() != 0);
    for (std::thread& thread : threads) thread.join();
    collector.Collect(heap->sources(), &after);
    ExpectAddsUp(after);
    ExpectWentForward(before, after);
    ExpectMatches(after, workers);
    EXPECT_EQ(after.threads, size_t{kThreads});
    EXPECT_GT(after.small_live, 0u);
    before = after;
  }
  for (auto& worker : workers) {
    worker->FreeAll();
    worker->End();
  }
  heap->central.Drain();
  collector.Collect(heap->sources(), &after);
  ExpectAddsUp(after);
  ExpectWentForward(before, after);
  ExpectMatches(after, workers);
  EXPECT_EQ(after.small_live, 0u);
  EXPECT_EQ(after.thread_cached + after.central_cached, 0u);
  EXPECT_EQ(after.threads, 0u);
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// The table of resident memory: its rows are what the heap holds, and add up.
#include "allocator/telemetry/resident_memory.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/telemetry/test_heap.h"

namespace spanmalloc {
namespace {

class ResidentMemoryTest : public testing::Test {
 protected:
  RssTable Measure() {
    collector_.Collect(heap_->sources(), &snapshot_);
    return MeasureRss(heap_->sources(), snapshot_);
  }
  void* Allocate(size_t c) {
    bool zeroed = false;
    return state_->Refill(c, &zeroed);
  }

  std::unique_ptr<TestHeap> heap_ = std::make_unique<TestHeap>();
  ThreadState* state_ = heap_->registry.Create();
  StatsCollector collector_;
  StatsSnapshot snapshot_;
};

TEST_F(ResidentMemoryTest, RowsAddUp) {
  memset(Allocate(20), 1, kSizeClassTable[20].size);
  heap_->page_heap.AllocateLarge(1000, kPageSize);
  const RssTable table = Measure();
  int64_t sum = 0;
  for (size_t row = 0; row + 1 < kRssRows; ++row) sum += table.bytes[row];
  EXPECT_EQ(sum, table[RssRow::kProcess]);
  EXPECT_GT(table[RssRow::kOutside], 0);
  EXPECT_GT(table[RssRow::kMetadata], 0);
  EXPECT_EQ(table[RssRow::kLibrary], 0) << "no library here";
}

TEST_F(ResidentMemoryTest, WhatWasNeverWrittenIsAbsent) {
  void* object = Allocate(20);
  Span* large = heap_->page_heap.AllocateLarge(1000, kPageSize);
  RssTable table = Measure();
  EXPECT_EQ(table[RssRow::kSmallLive], static_cast<int64_t>(kSizeClassTable[20].size));
  EXPECT_EQ(table[RssRow::kLargeLive], static_cast<int64_t>(1000 * kPageSize));
  EXPECT_EQ(table[RssRow::kSmallLive] + table[RssRow::kThreadCaches] + table[RssRow::kCpuLists] +
                table[RssRow::kSpanFree] + table[RssRow::kSpanEnds],
            static_cast<int64_t>((snapshot_.heap.span_pages - 1000) * kPageSize));
  EXPECT_EQ(table[RssRow::kSmallAbsent],
            -static_cast<int64_t>((snapshot_.heap.span_pages - 1000) * kPageSize));
  EXPECT_EQ(table[RssRow::kLargeAbsent], -static_cast<int64_t>(1000 * kPageSize));
  memset(object, 1, kSizeClassTable[20].size);
  memset(reinterpret_cast<void*>(large->start), 1, 10 * kPageSize);
  const int64_t before = table[RssRow::kSmallAbsent];
  table = Measure();
  EXPECT_GT(table[RssRow::kSmallAbsent], before);
  EXPECT_EQ(table[RssRow::kLargeAbsent], -static_cast<int64_t>(990 * kPageSize));
}

TEST_F(ResidentMemoryTest, MeasuresUnderTraffic) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (size_t number = 0; number < 2; ++number) {
    threads.emplace_back([this, number, &stop] {
      ThreadState* state = heap_->registry.Create();
      while (!stop.load()) {
        Span* spans[8];
        for (Span*& span : spans) {
          span = heap_->page_heap.AllocateLarge(30 + number, kPageSize);
          memset(reinterpret_cast<void*>(span->start), 1, kPageSize);
        }
        for (size_t c = 1; c < kSizeClassEnd; c += 4) {
          bool zeroed = false;
          void* object = state->Refill(c, &zeroed);
          if (!state->cache.Push(c, object)) state->Overflow(c, object);
        }
        for (Span* span : spans) {
          heap_->page_heap.FreeLarge(reinterpret_cast<void*>(span->start));
        }
        heap_->page_heap.Release(~size_t{0});
      }
      heap_->registry.Destroy(state);
    });
  }
  for (int i = 0; i < 50; ++i) {
    const RssTable table = Measure();
    int64_t sum = 0;
    for (size_t row = 0; row + 1 < kRssRows; ++row) sum += table.bytes[row];
    EXPECT_EQ(sum, table[RssRow::kProcess]);
    EXPECT_GT(table[RssRow::kMetadata], 0);
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ResidentMemoryTest, CountsTheLibrary) {
  static char image[3 << 16];
  memset(image, 1, sizeof(image));
  const LibraryImage library = {image, image + sizeof(image)};
  StatsSources sources = heap_->sources();
  sources.image = &library;
  collector_.Collect(sources, &snapshot_);
  const int64_t bytes = MeasureRss(sources, snapshot_)[RssRow::kLibrary];
  EXPECT_GE(bytes, int64_t{sizeof(image)});
  EXPECT_LE(bytes, int64_t{2 * sizeof(image)});
}

}  // namespace
}  // namespace spanmalloc

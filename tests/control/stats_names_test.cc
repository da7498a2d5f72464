// SPDX-License-Identifier: Apache-2.0
//
// stats.* and arenas.*: size classes, blocks, runs of free pages and locks are counted truly.
#include <string>
#include <vector>

#include "tests/control/control_test.h"

namespace spanmalloc {
namespace {

class StatsNamesTest : public ControlTest {};

TEST_F(StatsNamesTest, SizeClassesAreTheAllocators) {
  EXPECT_EQ(Read<size_t>("arenas.quantum"), kMinAlignment);
  EXPECT_EQ(Read<unsigned>("arenas.nbins"), kSizeClasses);
  EXPECT_EQ(Read<size_t>("arenas.bin.68.size"), kMaxClassSize);
  EXPECT_EQ(Read<unsigned>("arenas.bin.0.nregs"), ShapeOf(1).objects);
  EXPECT_EQ(Read<size_t>("arenas.bin.0.slab_size"), ShapeOf(1).pages * kPageSize);
  const auto large = Read<unsigned>("arenas.nlextents");
  size_t last = kMaxClassSize;
  for (unsigned k = 0; k < large; ++k) {
    const auto size = Read<size_t>("arenas.lextent." + std::to_string(k) + ".size");
    EXPECT_GT(size, last);
    EXPECT_LE(size, last + last / 4);
    last = size;
  }
  EXPECT_EQ(last, kWindowSize);
}

TEST_F(StatsNamesTest, ArenaStatisticsAreTheHeaps) {
  ThreadState* thread = heap_->registry.Create();
  bool zeroed = false;
  ASSERT_NE(thread->Refill(5, &zeroed), nullptr);
  ASSERT_NE(heap_->page_heap.AllocateLarge(100, kPageSize), nullptr);
  NextEpoch();
  const size_t size = kSizeClassTable[5].size;
  for (const char* arena : {"stats.arenas.0.", "stats.arenas.4096."}) {
    const std::string at = arena;
    EXPECT_EQ(Read<size_t>(at + "small.allocated"), size);
    EXPECT_EQ(Read<size_t>(at + "large.allocated"), 100 * kPageSize);
    EXPECT_EQ(Read<size_t>(at + "bins.4.curregs"), 1u);
    EXPECT_EQ(Read<uint64_t>(at + "bins.4.nmalloc") - Read<uint64_t>(at + "bins.4.ndalloc"), 1u);
    EXPECT_EQ(Read<size_t>(at + "bins.4.curslabs"), 1u);
    EXPECT_EQ(Read<unsigned>(at + "nthreads"), 1u);
    EXPECT_EQ(Read<size_t>(at + "pactive") * kPageSize, Read<size_t>("stats.active"));
  }
  EXPECT_EQ(Read<size_t>("stats.arenas.4097.small.allocated"), 0u);
  EXPECT_EQ(Read<size_t>("stats.arenas.4097.bins.4.curregs"), 0u);
  EXPECT_EQ(Read<size_t>("stats.allocated"), size + 100 * kPageSize);
  EXPECT_LE(Read<size_t>("stats.allocated"), Read<size_t>("stats.active"));
  EXPECT_LE(Read<size_t>("stats.active"), Read<size_t>("stats.resident"));
  EXPECT_LE(Read<size_t>("stats.resident"), Read<size_t>("stats.mapped"));
  heap_->registry.Destroy(thread);
}

TEST_F(StatsNamesTest, LargeBlocksAreCountedByClass) {
  Span* span = heap_->page_heap.AllocateLarge(48, kPageSize);  // 384 KiB, the bound of the second
  ASSERT_NE(span, nullptr);
  ASSERT_NE(heap_->page_heap.AllocateLarge(300, kPageSize), nullptr);
  NextEpoch();
  const std::string large = "stats.arenas.0.lextents.";
  EXPECT_EQ(Read<size_t>(large + "0.curlextents"), 0u);
  EXPECT_EQ(Read<size_t>(large + "1.curlextents"), 1u);
  EXPECT_EQ(Read<size_t>("arenas.lextent.1.size"), 48 * kPageSize);
  ASSERT_TRUE(heap_->page_heap.GrowLarge(span, 64, nullptr));
  NextEpoch();
  EXPECT_EQ(Read<uint64_t>(large + "1.ndalloc"), 1u);
  EXPECT_EQ(Read<size_t>(large + "1.curlextents"), 0u);
  EXPECT_EQ(Read<size_t>(large + "3.curlextents"), 1u) << "grown";
  heap_->page_heap.ShrinkLarge(span, 40);
  NextEpoch();
  EXPECT_EQ(Read<size_t>(large + "0.curlextents"), 1u) << "shrunk";
  EXPECT_EQ(heap_->page_heap.FreeLarge(reinterpret_cast<void*>(span->start)), LargeFault::kNone);
  NextEpoch();
  size_t live = 0;
  for (unsigned k = 0; k < kLargeClasses; ++k) {
    live += Read<size_t>(large + std::to_string(k) + ".curlextents");
  }
  EXPECT_EQ(live, 1u);
}

TEST_F(StatsNamesTest, RunsOfFreePagesAddUp) {
  std::vector<Span*> spans;
  for (size_t pages : {3, 20, 3, 60, 3, 300, 3, 700}) {
    spans.push_back(heap_->page_heap.AllocateLarge(pages, kPageSize));
    ASSERT_NE(spans.back(), nullptr);
  }
  for (size_t i = 1; i < spans.size(); i += 2) {
    heap_->page_heap.FreeLarge(reinterpret_cast<void*>(spans[i]->start));
  }
  NextEpoch();
  const auto sum = [this](const char* member) {
    size_t bytes = 0;
    for (size_t e = 0; e < kExtentClasses; ++e) {
      bytes += Read<size_t>("stats.arenas.0.extents." + std::to_string(e) + "." + member);
    }
    return bytes;
  };
  const PageHeapStats heap = heap_->page_heap.Stats();
  EXPECT_EQ(sum("dirty_bytes"), heap.dirty_pages * kPageSize);
  EXPECT_EQ(sum("retained_bytes"), heap.clean_pages * kPageSize);
  EXPECT_GE(sum("ndirty"), 3u);
  EXPECT_GE(Read<size_t>("stats.arenas.0.extents.1.ndirty"), 0u);
  EXPECT_EQ(Read<size_t>("stats.arenas.4097.extents.1.ndirty"), 0u);
}

TEST_F(StatsNamesTest, LocksAreCounted) {
  NextEpoch();
  const auto mallctls = Read<uint64_t>("stats.mutexes.ctl.num_ops");
  const auto lists = Read<uint64_t>("spanmalloc.locks.central_free_list.num_ops");
  const auto bin = Read<uint64_t>("stats.arenas.0.bins.4.mutex.num_ops");
  const auto heap = Read<uint64_t>("stats.arenas.4096.mutexes.extents_dirty.num_ops");
  ThreadState* thread = heap_->registry.Create();
  bool zeroed = false;
  ASSERT_NE(thread->Refill(5, &zeroed), nullptr);
  EXPECT_EQ(Read<uint64_t>("stats.arenas.0.bins.4.mutex.num_ops"), bin) << "of the epoch before";
  NextEpoch();
  EXPECT_GT(Read<uint64_t>("stats.mutexes.ctl.num_ops"), mallctls);
  EXPECT_GT(Read<uint64_t>("stats.arenas.0.bins.4.mutex.num_ops"), bin);
  EXPECT_EQ(Read<uint64_t>("stats.arenas.0.bins.5.mutex.num_ops"), 0u);
  EXPECT_EQ(Read<uint64_t>("stats.arenas.4097.bins.4.mutex.num_ops"), 0u);
  EXPECT_GT(Read<uint64_t>("spanmalloc.locks.central_free_list.num_ops"), lists);
  EXPECT_GT(Read<uint64_t>("stats.arenas.4096.mutexes.extents_dirty.num_ops"), heap);
  EXPECT_EQ(Read<unsigned>("stats.mutexes.prof.max_num_thds"), 0u);
  heap_->registry.Destroy(thread);
}

TEST_F(StatsNamesTest, LocksAreCountedAnewAfterAReset) {
  ThreadState* thread = heap_->registry.Create();
  bool zeroed = false;
  ASSERT_NE(thread->Refill(5, &zeroed), nullptr);
  NextEpoch();
  EXPECT_GT(Read<uint64_t>("stats.arenas.0.bins.4.mutex.num_ops"), 0u);
  EXPECT_GT(Read<uint64_t>("spanmalloc.locks.thread_state.num_ops"), 0u);
  EXPECT_EQ(Do("stats.mutexes.reset"), 0);
  NextEpoch();
  EXPECT_LT(Read<uint64_t>("stats.arenas.0.bins.4.mutex.num_ops"), 4u);
  EXPECT_LT(Read<uint64_t>("spanmalloc.locks.thread_state.num_ops"), 4u);
  heap_->registry.Destroy(thread);
  NextEpoch();
  EXPECT_LT(Read<uint64_t>("spanmalloc.locks.thread_state.num_ops"), 8u) << "none is lost or new";
}

}  // namespace
}  // namespace spanmalloc

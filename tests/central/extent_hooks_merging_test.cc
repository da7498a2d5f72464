// SPDX-License-Identifier: Apache-2.0
//
// Arenas whose extents lie side by side: when they are merged, for what, and split again.
#include <sys/mman.h>

#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/extent_hooks_on_fakes.h"

namespace spanmalloc {
namespace {

// Hooks over one range, which hands extents out side by side and takes none back.
class ExtentsOfARangeTest : public ExtentHooksTest {
 protected:
  static constexpr size_t kRange = 64 * kMega;

  ExtentsOfARangeTest() {
    memory_ = mmap(nullptr, kRange + kHugePageSize, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    provider_.range = begin_ = RoundUp(reinterpret_cast<uintptr_t>(memory_), kHugePageSize);
    provider_.range_end = begin_ + kRange;
    provider_.declined = {"dalloc", "decommit"};
  }
  ~ExtentsOfARangeTest() {
    provider_.extents.clear();
    munmap(memory_, kRange + kHugePageSize);
  }

  // Fills the range with blocks, and extents, of `size` bytes each; none is left.
  std::vector<void*> Fill(unsigned arena, size_t size) {
    std::vector<void*> blocks(kRange / size);
    for (void*& block : blocks) block = Filled(arena, size);
    EXPECT_EQ(Allocate(arena, size), nullptr);
    provider_.Take();
    return blocks;
  }
  void FreeAll(const std::vector<void*>& blocks) {
    for (void* block : blocks) on_.FreeInArena(block);
  }

  void* memory_;
  uintptr_t begin_;
};

TEST_F(ExtentsOfARangeTest, FreeNeighboursAreMergedForALargerBlock) {
  const unsigned arena = Create(&provider_);
  const std::vector<void*> blocks = Fill(arena, 2 * kMega);
  FreeAll(blocks);
  EXPECT_EQ(provider_.Take(), Calls()) << "before it is needed";
  void* block = Filled(arena, 10 * kMega);
  EXPECT_EQ(provider_.Take(), Calls(4, "merge"));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(block), begin_);
  void* rest = Filled(arena, kRange - 10 * kMega);
  EXPECT_NE(rest, nullptr);
  on_.FreeInArena(block);
  on_.FreeInArena(rest);
  EXPECT_NE(Filled(arena, kRange), nullptr) << "all of it";
  EXPECT_EQ(provider_.extents.size(), 1u);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentsOfARangeTest, WhatIsInUseMayBePartOfAMergedExtent) {
  const unsigned arena = Create(&provider_);
  std::vector<void*> blocks = Fill(arena, 8 * kMega);
  FreeAll(blocks);
  // Only the first half of each extent is in use.
  for (void*& block : blocks) block = Filled(arena, 4 * kMega);
  for (size_t i = 0; i < blocks.size(); ++i) EXPECT_NE(Filled(arena, 4 * kMega), nullptr);
  on_.FreeInArena(blocks[2]);
  on_.FreeInArena(blocks[3]);
  EXPECT_EQ(Allocate(arena, 8 * kMega), blocks[2]) << "of one extent";
  EXPECT_TRUE(arenas_.Reset(arena));
  blocks = {Filled(arena, 6 * kMega), Filled(arena, 6 * kMega)};
  EXPECT_EQ(reinterpret_cast<uintptr_t>(blocks[1]), begin_ + 8 * kMega);
  provider_.Take();
  on_.FreeInArena(blocks[1]);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(Filled(arena, kRange - 6 * kMega)), begin_ + 6 * kMega);
  EXPECT_EQ(provider_.Count("merge"), 7u);
  EXPECT_EQ(static_cast<char*>(blocks[0])[kMega], 0x77);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentsOfARangeTest, BlocksNeverReachIntoAnExtentThatIsNotMerged) {
  const unsigned arena = Create(&provider_);
  provider_.declined.insert("merge");
  FreeAll(Fill(arena, 2 * kMega));
  EXPECT_EQ(Allocate(arena, 6 * kMega), nullptr);
  EXPECT_LE(provider_.Count("merge"), 10u) << "as often as there are neighbours";
  EXPECT_EQ(provider_.Count("alloc"), 1u);
  provider_.merge = nullptr;
  provider_.Take();
  EXPECT_EQ(Allocate(arena, 6 * kMega), nullptr);
  EXPECT_EQ(provider_.Take(), Calls({"alloc"}));
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentsOfARangeTest, DecommittedNeighboursAreMergedToo) {
  const unsigned arena = Create(&provider_);
  provider_.declined = {"dalloc"};
  FreeAll(Fill(arena, 2 * kMega));
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Count("decommit"), 32u);
  provider_.Take();
  void* block = Filled(arena, 10 * kMega);
  EXPECT_EQ(provider_.Take(), Calls({"merge", "merge", "merge", "merge", "commit"}));
  provider_.declined.insert("merge");
  EXPECT_EQ(Allocate(arena, 6 * kMega), nullptr);
  EXPECT_LE(provider_.Count("merge"), 10u);
  provider_.declined.erase("merge");
  void* rest = Filled(arena, kRange - 10 * kMega);
  EXPECT_NE(rest, nullptr);
  on_.FreeInArena(block);
  on_.FreeInArena(rest);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentsOfARangeTest, ABlockGrowsIntoFreeExtentsBehindIt) {
  const unsigned arena = Create(&provider_);
  const std::vector<void*> blocks = Fill(arena, 4 * kMega);
  Span* span = on_.page_map.SpanOf(blocks[1]);
  const auto grow = [&](size_t size) {
    const size_t pages = PagesFor(size);
    return on_.node_heaps.GrowLarge(span, pages, nullptr) ||
           (on_.node_heaps.ProvideBehind(span, pages) &&
            on_.node_heaps.GrowLarge(span, pages, nullptr));
  };
  EXPECT_FALSE(grow(6 * kMega));
  EXPECT_EQ(provider_.Take(), Calls()) << "nothing behind it is free";
  for (int i : {2, 3}) on_.FreeInArena(blocks[i]);
  EXPECT_TRUE(grow(6 * kMega));
  EXPECT_EQ(provider_.Take(), Calls({"merge"}));
  EXPECT_TRUE(grow(12 * kMega));
  EXPECT_EQ(provider_.Take(), Calls({"merge"}));
  EXPECT_FALSE(grow(14 * kMega));
  memset(blocks[1], 0x42, 12 * kMega);
  for (int i : {0, 4}) EXPECT_EQ(static_cast<char*>(blocks[i])[kMega], 0x77);
  on_.FreeInArena(blocks[4]);
  provider_.declined.insert("merge");
  EXPECT_FALSE(grow(14 * kMega));
  provider_.merge = nullptr;
  EXPECT_FALSE(grow(14 * kMega));
  on_.FreeInArena(blocks[1]);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentsOfARangeTest, MergedExtentsAreSplitAgain) {
  const unsigned arena = Create(&provider_);
  FreeAll(Fill(arena, 2 * kMega));
  void* block = Filled(arena, kRange);
  on_.FreeInArena(block);
  std::vector<void*> blocks;
  for (int i = 0; i < 32; ++i) blocks.push_back(Filled(arena, 2 * kMega));
  provider_.declined = {};
  provider_.Take();
  for (int i = 0; i < 32; i += 2) on_.FreeInArena(blocks[i]);
  // What it takes back of the range is the range's no more.
  provider_.during = [&](const std::string& name) {
    if (name == "dalloc") provider_.declined.insert("alloc");
  };
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Count("dalloc"), 16u);
  EXPECT_EQ(provider_.extents.size(), 16u);
  provider_.declined = {"alloc"};
  EXPECT_EQ(Allocate(arena, 4 * kMega), nullptr) << "neighbours of what has left";
  for (int i = 1; i < 32; i += 2) {
    EXPECT_EQ(static_cast<char*>(blocks[i])[kMega], 0x77);
    on_.FreeInArena(blocks[i]);
  }
  EXPECT_TRUE(Destroy(arena));
  EXPECT_TRUE(provider_.extents.empty());
}

}  // namespace
}  // namespace spanmalloc

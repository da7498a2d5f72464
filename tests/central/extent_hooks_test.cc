// SPDX-License-Identifier: Apache-2.0
//
// Arenas whose memory extent hooks give: which hooks are called when, with what, and what may go on
// meanwhile.
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "allocator/os/clock.h"
#include "gtest/gtest.h"
#include "tests/central/extent_hooks_on_fakes.h"

namespace spanmalloc {
namespace {

TEST_F(ExtentHooksTest, AllMemoryComesFromThemAndGoesBack) {
  const unsigned arena = Create(&provider_);
  EXPECT_EQ(arenas_.Hooks(arena), &provider_);
  EXPECT_TRUE(provider_.calls.empty()) << "before it is needed";
  std::vector<void*> blocks;
  for (const size_t size : {64u, 64u, 300'000u, 5'000'000u, 20'000'000u}) {
    void* block = Filled(arena, size);
    const auto address = reinterpret_cast<uintptr_t>(block);
    auto extent = provider_.extents.upper_bound(address);
    ASSERT_NE(extent, provider_.extents.begin());
    --extent;
    EXPECT_LE(address + size, extent->first + extent->second);
    EXPECT_EQ(on_.page_map.SpanOf(block)->start <= address, true);
    EXPECT_EQ(on_.page_map.ClassOf(block), kNoSizeClass);
    EXPECT_EQ(ArenaSet::IndexOf(on_.page_map.SpanOf(block)), arena);
    blocks.push_back(block);
  }
  EXPECT_EQ(provider_.Take(), Calls(3, "alloc")) << "one for all that is cut from a huge page";
  EXPECT_EQ(on_.node_heaps.NodeStats().large_spans, 0u);
  for (void* block : blocks) on_.FreeInArena(block);
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls(3, "dalloc"));
  EXPECT_TRUE(provider_.extents.empty());
  EXPECT_EQ(on_.node_heaps.ArenaStats(arena).mapped_pages, 0u);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, HooksThatAreTriedGiveAnExtentAndGetItBack) {
  for (const bool commits : {true, false}) {
    provider_.commits = commits;
    unsigned arena = 0;
    ASSERT_TRUE(arenas_.Create({1000, 0, &provider_, true}, &arena));
    Calls expected = {"alloc", "dalloc"};
    if (!commits) expected.insert(expected.begin() + 1, "commit");
    EXPECT_EQ(provider_.Take(), expected);
    EXPECT_TRUE(provider_.extents.empty());
    EXPECT_EQ(on_.node_heaps.ArenaStats(arena).mapped_pages, 0u);
    Filled(arena, 100);
    EXPECT_EQ(provider_.Count("alloc"), 1u) << "the next extent is another";
    EXPECT_TRUE(Destroy(arena));
    EXPECT_TRUE(provider_.extents.empty());
    provider_.Take();
  }
  provider_.declined = {"dalloc"};
  unsigned arena = 0;
  ASSERT_TRUE(arenas_.Create({1000, 0, &provider_, true}, &arena));
  EXPECT_EQ(provider_.Take(), Calls({"alloc", "commit", "dalloc", "destroy"}));
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, HooksThatAreTriedAndFailGetNoArena) {
  unsigned arena = 0;
  provider_.declined = {"alloc"};
  EXPECT_FALSE(arenas_.Create({1000, 0, &provider_, true}, &arena));
  EXPECT_EQ(provider_.Take(), Calls({"alloc"}));
  EXPECT_FALSE(arenas_.Exists(1));
  provider_.declined = {};
  provider_.shift = kPageSize;
  EXPECT_FALSE(arenas_.Create({1000, 0, &provider_, true}, &arena)) << "what can't be used";
  EXPECT_TRUE(provider_.extents.empty());
  provider_.shift = 0;
  EXPECT_EQ(Create(&provider_), 1u) << "the index is free";
  EXPECT_TRUE(Destroy(1));
}

TEST_F(ExtentHooksTest, WhatIsDeclinedIsOfferedToTheNextHook) {
  const unsigned arena = Create(&provider_);
  const auto purged_with = [&](std::set<std::string> declined) {
    on_.FreeInArena(Filled(arena, 5 * kMega));
    provider_.Take();
    provider_.declined = std::move(declined);
    arenas_.Purge(arena);
    provider_.declined.clear();
    return provider_.Take();
  };
  EXPECT_EQ(purged_with({"dalloc"}), Calls({"dalloc", "decommit"}));
  EXPECT_EQ(purged_with({"dalloc", "decommit"}), Calls({"dalloc", "decommit", "forced"}));
  EXPECT_EQ(purged_with({"dalloc", "decommit", "forced"}),
            Calls({"dalloc", "decommit", "forced", "lazy"}));
  EXPECT_EQ(purged_with({"dalloc", "decommit", "forced", "lazy"}),
            Calls({"dalloc", "decommit", "forced", "lazy"}));
  EXPECT_EQ(purged_with({}), Calls({"dalloc"}));
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, WhatIsCleanLeavesTooUnlessNobodyWantedIt) {
  const unsigned arena = Create(&provider_);
  EXPECT_TRUE(arenas_.Provide(arena, 3 * kPagesPerHugePage, 1));
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"alloc", "dalloc"}));
  // Purged while a part of it is in use.
  EXPECT_TRUE(arenas_.Provide(arena, 3 * kPagesPerHugePage, 1));
  void* first = Filled(arena, 2 * kMega);
  void* second = Filled(arena, 2 * kMega);
  on_.FreeInArena(second);
  provider_.declined = {"split"};
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"alloc", "split", "forced"}));
  void* small = Filled(arena, 64);
  on_.FreeInArena(first);
  provider_.Take();
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"forced", "split", "forced"}));
  on_.FreeInArena(small);
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"dalloc"}));
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, NoneButAllocIsNeeded) {
  ExtentHooks& hooks = provider_;
  void* (*alloc)(ExtentHooks*, void*, size_t, size_t, bool*, bool*, unsigned) = hooks.alloc;
  hooks = {};
  hooks.alloc = alloc;
  const unsigned arena = Create(&provider_);
  void* block = Filled(arena, 5 * kMega);
  on_.FreeInArena(block);
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"alloc"}));
  EXPECT_EQ(Filled(arena, 5 * kMega), block) << "kept";
  EXPECT_EQ(provider_.Take(), Calls());
  EXPECT_TRUE(Destroy(arena));
  EXPECT_EQ(provider_.extents.size(), 1u) << "nobody takes it";
}

TEST_F(ExtentHooksTest, DecommittedMemoryIsCommittedBeforeItIsUsedAgain) {
  const unsigned arena = Create(&provider_);
  provider_.declined = {"dalloc"};
  void* block = Filled(arena, 5 * kMega);
  on_.FreeInArena(block);
  arenas_.Purge(arena);
  EXPECT_EQ(on_.node_heaps.ArenaStats(arena).mapped_pages, 0u);
  provider_.Take();
  EXPECT_EQ(Allocate(arena, 5 * kMega), block);
  EXPECT_TRUE(zeroed_);
  EXPECT_EQ(provider_.Take(), Calls({"commit"}));
  on_.FreeInArena(block);
  arenas_.Purge(arena);
  provider_.declined = {"dalloc", "commit"};
  void* other = Filled(arena, 4 * kMega);
  EXPECT_EQ(provider_.Take(), Calls({"dalloc", "decommit", "commit", "alloc"}));
  on_.FreeInArena(other);
  EXPECT_TRUE(Destroy(arena));
  EXPECT_TRUE(provider_.extents.empty());
}

TEST_F(ExtentHooksTest, WhatTheySayOfZeroAndCommitIsBelieved) {
  provider_.dirties = true;
  const unsigned arena = Create(&provider_);
  void* block = Allocate(arena, 5 * kMega);
  EXPECT_FALSE(zeroed_);
  EXPECT_EQ(*static_cast<char*>(block), 0x5a);
  provider_.dirties = false;
  provider_.commits = false;
  provider_.Take();
  EXPECT_NE(Allocate(arena, 5 * kMega), nullptr);
  EXPECT_TRUE(zeroed_);
  EXPECT_EQ(provider_.Take(), Calls({"alloc", "commit"}));
  provider_.declined = {"commit"};
  const size_t held = provider_.extents.size();
  EXPECT_EQ(Allocate(arena, 5 * kMega), nullptr);
  EXPECT_EQ(provider_.Take(), Calls({"alloc", "commit", "dalloc"}));
  EXPECT_EQ(provider_.extents.size(), held);
  EXPECT_EQ(on_.node_heaps.refused_extents(), 1u);
  provider_.commits = true;
  EXPECT_TRUE(Destroy(arena));
  EXPECT_TRUE(provider_.extents.empty());
}

TEST_F(ExtentHooksTest, AfterALazyPurgeNothingIsTakenForZero) {
  const unsigned arena = Create(&provider_);
  provider_.declined = {"dalloc", "decommit", "forced"};
  on_.FreeInArena(Filled(arena, 5 * kMega));
  arenas_.Purge(arena);
  char* block = static_cast<char*>(Allocate(arena, 5 * kMega));
  EXPECT_EQ(block[100], 0x33);
  EXPECT_FALSE(zeroed_);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, FreePartsOfAnExtentLeaveIfItCanBeSplit) {
  const unsigned arena = Create(&provider_);
  void* blocks[5];
  provider_.declined = {"dalloc", "decommit", "forced", "lazy"};
  on_.FreeInArena(Filled(arena, 10 * kMega));  // one extent of five huge pages
  for (void*& block : blocks) block = Filled(arena, 2 * kMega);
  EXPECT_EQ(provider_.Count("alloc"), 1u);
  on_.FreeInArena(blocks[1]);
  on_.FreeInArena(blocks[2]);
  provider_.declined = {"split"};
  provider_.Take();
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"split", "forced"}));
  on_.FreeInArena(Filled(arena, 2 * kMega));
  provider_.declined = {};
  provider_.Take();
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"split", "split", "dalloc"}));
  EXPECT_EQ(provider_.extents.size(), 2u);
  for (int i : {0, 3, 4}) {
    EXPECT_EQ(static_cast<char*>(blocks[i])[kMega], 0x77);
    on_.FreeInArena(blocks[i]);
  }
  EXPECT_TRUE(Destroy(arena));
  EXPECT_TRUE(provider_.extents.empty());
}
TEST_F(ExtentHooksTest, MemoryGoesBackAfterTheDecayTime) {
  const unsigned arena = Create(&provider_, 1000);
  void* block = Filled(arena, 10 * kMega);
  on_.clock.Advance(1);
  arenas_.Decay(arena, on_.clock.NowMs());
  on_.FreeInArena(block);
  arenas_.Decay(arena, on_.clock.NowMs());
  EXPECT_EQ(provider_.Take(), Calls({"alloc"}));
  on_.node_heaps.ReleaseExcess(on_.clock.NowMs() + 100'000);
  EXPECT_EQ(provider_.Take(), Calls()) << "only where no lock is held";
  on_.clock.Advance(10'000);
  arenas_.Decay(arena, on_.clock.NowMs());
  EXPECT_EQ(provider_.Take(), Calls({"dalloc"}));
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, DestroyReturnsWhatDallocDeclines) {
  const unsigned arena = Create(&provider_);
  for (int i = 0; i < 4; ++i) Filled(arena, 3 * kMega);
  on_.FreeInArena(Filled(arena, 5 * kMega));
  provider_.declined = {"dalloc"};
  arenas_.Purge(arena);  // one is decommitted
  provider_.Take();
  EXPECT_TRUE(Destroy(arena));
  EXPECT_EQ(provider_.Count("dalloc"), 4u);
  EXPECT_EQ(provider_.Count("destroy"), 5u);
  EXPECT_TRUE(provider_.extents.empty());
  // The index is without hooks again.
  EXPECT_EQ(Create(nullptr), arena);
  EXPECT_EQ(arenas_.Hooks(arena), &kDefaultExtentHooks);
  provider_.Take();
  Filled(arena, 3 * kMega);
  EXPECT_TRUE(provider_.calls.empty());
}

TEST_F(ExtentHooksTest, ResetFreesBlocksAndKeepsMemory) {
  const unsigned arena = Create(&provider_);
  for (int i = 0; i < 100; ++i) Filled(arena, 64);
  for (int i = 0; i < 4; ++i) Filled(arena, 3 * kMega);
  const size_t allocs = provider_.Take().size();
  EXPECT_TRUE(arenas_.Reset(arena));
  for (int i = 0; i < 4; ++i) Filled(arena, 3 * kMega);
  EXPECT_TRUE(provider_.Take().empty()) << "allocated by " << allocs << " calls before";
  EXPECT_TRUE(arenas_.Reset(arena));
  arenas_.Purge(arena);
  EXPECT_TRUE(provider_.extents.empty());
}

TEST_F(ExtentHooksTest, AnArenaMayGetThemLaterAndLoseThem) {
  const unsigned arena = Create(nullptr);
  void* borrowed = Filled(arena, 3 * kMega);
  EXPECT_EQ(arenas_.Hooks(arena), &kDefaultExtentHooks);
  EXPECT_TRUE(arenas_.SetHooks(arena, &provider_));
  void* own = Filled(arena, 5 * kMega);
  EXPECT_EQ(provider_.Take(), Calls({"alloc"}));
  on_.FreeInArena(borrowed);
  on_.FreeInArena(own);
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"dalloc"}));
  EXPECT_EQ(on_.node_heaps.ArenaStats(arena).mapped_pages, 0u);
  own = Filled(arena, 5 * kMega);
  EXPECT_TRUE(arenas_.SetHooks(arena, const_cast<ExtentHooks*>(&kDefaultExtentHooks)));
  provider_.Take();
  borrowed = Filled(arena, 9 * kMega);
  EXPECT_TRUE(provider_.calls.empty());
  EXPECT_FALSE(on_.node_heaps.IsForeign(borrowed));
  EXPECT_TRUE(arenas_.SetHooks(arena, &provider_));
  EXPECT_TRUE(Destroy(arena));
  EXPECT_TRUE(provider_.extents.empty());
}

TEST_F(ExtentHooksTest, TheAutomaticArenaOnlyRemembersThem) {
  EXPECT_EQ(arenas_.Hooks(0), &kDefaultExtentHooks);
  EXPECT_TRUE(arenas_.SetHooks(0, &provider_));
  EXPECT_EQ(arenas_.Hooks(0), &provider_);
  EXPECT_NE(on_.node_heaps.AllocateLarge(1000, 1), nullptr);
  EXPECT_TRUE(provider_.calls.empty());
}

TEST_F(ExtentHooksTest, NoLockIsHeldMeanwhile) {
  const unsigned arena = Create(&provider_);
  size_t seen = 0;
  provider_.during = [&](const std::string&) {
    ++seen;
    // As other threads would, and the program's code in a hook.
    std::thread([&] {
      Span* span = on_.node_heaps.AllocateLarge(100, 1);
      EXPECT_EQ(on_.node_heaps.FreeLarge(reinterpret_cast<void*>(span->start)), LargeFault::kNone);
      EXPECT_TRUE(on_.node_heaps.CheckInvariants());
      unsigned other;
      EXPECT_TRUE(arenas_.Create({1000, 0}, &other));
      EXPECT_TRUE(arenas_.Destroy(other));
      arenas_.FreeEmptySpans();
      on_.node_heaps.Stats();
      CentralFreeListStats stats = {};
      for (SizeClass c = 1; c < kSizeClassEnd; ++c) arenas_.AddStats(c, &stats);
    }).join();
  };
  void* block = Filled(arena, 5 * kMega);
  Filled(arena, 64);
  on_.FreeInArena(block);
  provider_.declined = {"dalloc", "decommit", "forced", "lazy"};
  arenas_.Purge(arena);
  EXPECT_TRUE(Destroy(arena));
  EXPECT_EQ(seen, 12u);
}

// A fork waits for hooks, but not for ever, and keeps others from being called.
TEST_F(ExtentHooksTest, AForkWaitsForThoseWhoAreInHooks) {
  const unsigned arena = Create(&provider_);
  std::atomic<bool> in_hook{false};
  std::atomic<bool> go_on{false};
  std::atomic<bool> left{false};
  provider_.during = [&](const std::string&) {
    in_hook = true;
    while (!go_on) std::this_thread::yield();
    left = true;
  };
  std::thread thread([&] { EXPECT_NE(Allocate(arena, 5 * kMega), nullptr); });
  while (!in_hook) std::this_thread::yield();
  on_.node_heaps.HoldHooks(0);
  EXPECT_FALSE(left) << "it took too long";
  on_.node_heaps.LetHooks();
  on_.node_heaps.HoldHooks(1);  // the one that forks is in a hook
  EXPECT_FALSE(left);
  on_.node_heaps.LetHooks();
  std::thread opener([&] { go_on = true; });
  const uint64_t begin = os::MonotonicNs();
  on_.node_heaps.HoldHooks(0);
  EXPECT_TRUE(left || os::MonotonicNs() - begin >= NodeHeaps::kForkPatienceNs);
  thread.join();
  opener.join();
  provider_.during = nullptr;
  // Now nobody comes in.
  std::atomic<bool> done{false};
  std::thread second([&] {
    EXPECT_NE(Allocate(arena, 5 * kMega), nullptr);
    done = true;
  });
  usleep(20'000);
  EXPECT_FALSE(done);
  EXPECT_EQ(provider_.Count("alloc"), 1u);
  on_.node_heaps.LetHooks();
  second.join();
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, TheStatisticsCountTheirMemory) {
  const unsigned arena = Create(&provider_);
  const PageHeapStats before = on_.node_heaps.Stats();
  void* block = Filled(arena, 5 * kMega);
  const PageHeapStats with = on_.node_heaps.Stats();
  EXPECT_EQ(with.span_pages - before.span_pages, PagesFor(5 * kMega));
  EXPECT_EQ(with.mapped_pages - before.mapped_pages, 3 * kPagesPerHugePage);
  on_.FreeInArena(block);
  EXPECT_EQ(on_.node_heaps.Stats().dirty_pages - before.dirty_pages, 3 * kPagesPerHugePage);
  arenas_.Purge(arena);
  EXPECT_EQ(on_.node_heaps.Stats().mapped_pages, before.mapped_pages);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, LimitsAreForOthers) {
  const unsigned arena = Create(&provider_);
  on_.node_heaps.SetLimits(1000, 2000);
  Filled(arena, 100 * kMega);
  EXPECT_LT(on_.node_heaps.HeldPages(), 1000u);
  on_.node_heaps.SetLimits(PageHeap::kNoLimit, PageHeap::kNoLimit);
  EXPECT_TRUE(Destroy(arena));
}

}  // namespace
}  // namespace spanmalloc

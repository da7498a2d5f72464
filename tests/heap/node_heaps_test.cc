// SPDX-License-Identifier: Apache-2.0
//
// Page heaps of machines with one, two, four and more nodes: what a node's threads get lies in its
// part of the window, goes back there whoever frees it, and nothing that is done to all misses one.
#include "allocator/heap/node_heaps.h"

#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr SizeClass kClass = 20;
constexpr size_t kArena = size_t{4} << 30;

class NodeHeapsTest : public testing::TestWithParam<const char*> {
 protected:
  NodeHeapsTest() { FakeNodeFacts::cpu = 0; }
  ~NodeHeapsTest() { EXPECT_TRUE(heaps_.CheckInvariants()); }

  // The fakes' CPUs have the numbers of their nodes.
  void RunOn(uint32_t node) { FakeNodeFacts::cpu = ids_[node]; }
  size_t nodes() const { return ids_.size(); }

  uintptr_t PartBegin(size_t node) const {
    return on_->memory.arena_begin() + kArena / kHugePageSize / nodes() * kHugePageSize * node;
  }
  bool LiesOn(size_t node, const Span* span) const {
    return span->start >= PartBegin(node) && span->start + span->bytes() <= PartBegin(node + 1);
  }
  void* BlockOf(const Span* span) { return reinterpret_cast<void*>(span->start); }

  static std::vector<uint32_t> Ids(const char* list) {
    std::vector<uint32_t> ids;
    for (uint32_t first; sscanf(list, "%u", &first) == 1;) {
      uint32_t last = first;
      sscanf(list, "%u-%u", &first, &last);
      for (uint32_t id = first; id <= last; ++id) ids.push_back(id);
      list += strcspn(list, ",");
      list += *list == ',';
    }
    return ids;
  }

  const std::vector<uint32_t> ids_ = Ids(GetParam());
  std::unique_ptr<HeapOnFakes> on_ = std::make_unique<HeapOnFakes>(kArena, 4096, GetParam());
  NodeHeaps& heaps_ = on_->node_heaps;
};

INSTANTIATE_TEST_SUITE_P(Machines, NodeHeapsTest,
                         testing::Values("0", "0-1", "0,2,8", "0-3", "0-4", "0-7"));

TEST_P(NodeHeapsTest, AHeapIsMadeWhenItsNodeFirstAsks) {
  EXPECT_EQ(heaps_.heaps(), 1u);
  const size_t mapped = on_->memory.mapped_in_arena();
  for (size_t node = nodes(); node-- > 0;) {
    RunOn(static_cast<uint32_t>(node));
    const size_t before = heaps_.heaps();
    ASSERT_NE(heaps_.AllocateLarge(1, 1), nullptr);
    EXPECT_EQ(heaps_.heaps(), node == 0 ? nodes() : before + 1);
  }
  EXPECT_EQ(on_->memory.mapped_in_arena(), mapped * nodes());
}

TEST_P(NodeHeapsTest, WhatCanNeverBeHadIsKnown) {
  const size_t part = kArena / kHugePageSize / nodes() * kPagesPerHugePage;
  EXPECT_TRUE(heaps_.HasAddressesFor(1, 1));
  EXPECT_TRUE(heaps_.HasAddressesFor(part, 1));
  EXPECT_FALSE(heaps_.HasAddressesFor(part + 1, 1));
  EXPECT_FALSE(heaps_.HasAddressesFor(PagesFor(kMaxRequest), 1));
  for (int bit = 0; bit < 64; ++bit) {
    const size_t alignment = size_t{1} << bit;
    bool any = false;
    for (size_t node = 0; node < nodes(); ++node) {
      const uintptr_t begin = PartBegin(node);
      any |= RoundUp(begin, alignment) < begin + part * kPageSize;
    }
    EXPECT_EQ(heaps_.HasAddressesFor(1, alignment), any) << bit;
    EXPECT_FALSE(heaps_.HasAddressesFor(PagesFor(kMaxRequest), alignment)) << bit;
  }
}

TEST_P(NodeHeapsTest, WhatANodeAsksForLiesInItsPart) {
  std::set<size_t> huge_pages;
  for (uint32_t node = 0; node < nodes(); ++node) {
    RunOn(node);
    ASSERT_EQ(heaps_.CurrentNode(), node);
    std::set<size_t> own;
    for (size_t i = 0; i < 50; ++i) {
      for (Span* span : {heaps_.AllocateShared(kClass, InPageMap::kYes, node),
                         heaps_.AllocateLarge(1 + 20 * i, 1), heaps_.AllocateGrowing(3, this)}) {
        ASSERT_NE(span, nullptr);
        ASSERT_TRUE(LiesOn(node, span));
        EXPECT_EQ(heaps_.NodeOf(span->start), node);
        for (uintptr_t at = span->start; at < span->start + span->bytes(); at += kPageSize) {
          own.insert(HugePageIndex(at));
        }
      }
    }
    const size_t before = huge_pages.size();
    huge_pages.insert(own.begin(), own.end());
    EXPECT_EQ(huge_pages.size(), before + own.size()) << "a huge page of two nodes";
  }
}

TEST_P(NodeHeapsTest, ASpanIsOfTheNodeThatWasNamedNotOfTheCallers) {
  RunOn(0);
  for (uint32_t node = 0; node < nodes(); ++node) {
    EXPECT_TRUE(LiesOn(node, heaps_.AllocateShared(kClass, InPageMap::kNo, node)));
  }
}

TEST_P(NodeHeapsTest, WhatIsFreedGoesBackToItsNodeWhoeverFreesIt) {
  std::vector<Span*> shared;
  std::vector<Span*> large;
  std::vector<uintptr_t> places;
  for (uint32_t node = 0; node < nodes(); ++node) {
    RunOn(node);
    shared.push_back(heaps_.AllocateShared(kClass, InPageMap::kYes, node));
    large.push_back(heaps_.AllocateLarge(3 * kPagesPerHugePage, 1));
    places.push_back(large.back()->start);
  }
  for (uint32_t node = 0; node < nodes(); ++node) {
    RunOn((node + 1) % static_cast<uint32_t>(nodes()));
    heaps_.FreeShared(shared[node]);
    char* block = static_cast<char*>(BlockOf(large[node]));
    EXPECT_EQ(heaps_.FreeLarge(block + kPageSize), LargeFault::kInterior);
    EXPECT_EQ(heaps_.FreeLarge(block), LargeFault::kNone);
    EXPECT_EQ(heaps_.FreeLarge(block), LargeFault::kNoBlock);
    EXPECT_EQ(heaps_.MissingFault(block), Fault::kDoubleFree);
  }
  EXPECT_EQ(heaps_.Stats().span_pages, 0u);
  for (uint32_t node = 0; node < nodes(); ++node) {
    RunOn(node);
    EXPECT_EQ(heaps_.AllocateLarge(3 * kPagesPerHugePage, 1)->start, places[node]);
  }
}

TEST_P(NodeHeapsTest, PointersIntoNoHeapAreTold) {
  RunOn(static_cast<uint32_t>(nodes() - 1));
  ASSERT_NE(heaps_.AllocateLarge(1, 1), nullptr);
  static char global[64];
  const uintptr_t wild[] = {0,
                            1,
                            reinterpret_cast<uintptr_t>(global),
                            PartBegin(0) - 1,
                            PartBegin(nodes()) + 5 * kHugePageSize,
                            PartBegin(nodes()) - kHugePageSize,
                            PartBegin(0) + kWindowSize,
                            PartBegin(0) - kWindowSize,
                            ~uintptr_t{0}};
  for (const uintptr_t address : wild) {
    EXPECT_EQ(heaps_.FreeLarge(reinterpret_cast<void*>(address)), LargeFault::kNoBlock);
    EXPECT_EQ(heaps_.MissingFault(reinterpret_cast<void*>(address)), Fault::kNotABlock);
    heaps_.ReturnReserve(reinterpret_cast<void*>(address), this);
  }
}

TEST_P(NodeHeapsTest, BlocksAreResizedWhereTheyAre) {
  for (uint32_t node = 0; node < nodes(); ++node) {
    RunOn(node);
    Span* span = heaps_.AllocateGrowing(3, this);
    Span* huge = heaps_.AllocateLarge(2 * kPagesPerHugePage, 1);
    RunOn((node + 1) % static_cast<uint32_t>(nodes()));
    ASSERT_NE(span->reserve, 0u);
    heaps_.ReturnReserve(BlockOf(span), this);
    EXPECT_EQ(span->reserve, 0u);
    EXPECT_TRUE(heaps_.GrowLarge(span, 5, nullptr));
    heaps_.ShrinkLarge(span, 2);
    EXPECT_EQ(span->pages, 2u);
    EXPECT_TRUE(heaps_.GrowLarge(huge, 5 * kPagesPerHugePage, nullptr));
    EXPECT_TRUE(LiesOn(node, huge));
    EXPECT_TRUE(heaps_.CheckInvariants());
  }
}

// Pages that are moved stay on their node: a block that changes nodes is copied.
TEST_P(NodeHeapsTest, PagesAreMovedWithinANodeOnly) {
  RunOn(0);
  Span* from = heaps_.AllocateLarge(kPagesPerHugePage, 1);
  Span* near = heaps_.AllocateLarge(2 * kPagesPerHugePage, 1);
  *static_cast<int*>(BlockOf(from)) = 17;
  for (uint32_t node = 1; node < nodes(); ++node) {
    RunOn(node);
    Span* far = heaps_.AllocateLarge(2 * kPagesPerHugePage, 1);
    EXPECT_FALSE(heaps_.MoveLarge(from, far));
    EXPECT_EQ(*static_cast<int*>(BlockOf(from)), 17);
  }
  EXPECT_TRUE(heaps_.MoveLarge(from, near));
  EXPECT_EQ(*static_cast<int*>(BlockOf(near)), 17);
}

TEST_P(NodeHeapsTest, APartThatIsFullBorrowsFromAnother) {
  const auto own = static_cast<uint32_t>(nodes() - 1);
  RunOn(own);
  const size_t part = (PartBegin(1) - PartBegin(0)) >> kHugePageShift;
  size_t on_own = 0;
  size_t on_others = 0;
  while (Span* span = heaps_.AllocateLarge(16 * kPagesPerHugePage, 1)) {
    const bool near = heaps_.NodeOf(span->start) == own;
    EXPECT_TRUE(!near || on_others == 0);
    ++(near ? on_own : on_others);
  }
  // In each part the first huge page is cut, and what is left behind the last block too short.
  EXPECT_EQ(on_own, (part - 1) / 16);
  EXPECT_EQ(on_others, (part - 1) / 16 * (nodes() - 1));
}

TEST_P(NodeHeapsTest, ANodeWhoseHeapIsRefusedUsesTheFirstOnesMeanwhile) {
  for (const auto call :
       {FakeVirtualMemory::kMap, FakeVirtualMemory::kMapAt, FakeVirtualMemory::kCommit}) {
    const auto on = std::make_unique<HeapOnFakes>(kArena, 4096, GetParam());
    NodeHeaps& heaps = on->node_heaps;
    RunOn(0);
    ASSERT_NE(heaps.AllocateLarge(1, 1), nullptr);
    for (uint32_t node = 1; node < nodes(); ++node) {
      RunOn(node);
      on->memory.RefuseAll(call);
      Span* span = heaps.AllocateLarge(1, 1);
      on->memory.RefuseNothing();
      ASSERT_NE(span, nullptr);
      EXPECT_EQ(heaps.NodeOf(span->start), 0u);
      EXPECT_EQ(heaps.heaps(), node);
      EXPECT_EQ(heaps.FreeLarge(BlockOf(span)), LargeFault::kNone);
      EXPECT_EQ(heaps.NodeOf(heaps.AllocateLarge(1, 1)->start), node);
    }
    EXPECT_EQ(heaps.Stats().large_spans, nodes());
    EXPECT_TRUE(heaps.CheckInvariants());
  }
}

TEST_P(NodeHeapsTest, ReleasesReachAllHeaps) {
  const auto make_dirty = [this] {
    for (uint32_t node = 0; node < nodes(); ++node) {
      RunOn(node);
      Span* span = heaps_.AllocateLarge(8 * kPagesPerHugePage, 1);
      memset(BlockOf(span), 1, span->bytes());
      heaps_.FreeLarge(BlockOf(span));
    }
    EXPECT_GE(heaps_.Stats().dirty_pages, nodes() * 8 * kPagesPerHugePage);
  };
  make_dirty();
  const size_t dirty = heaps_.Stats().dirty_pages;
  const size_t some = heaps_.Release(kPagesPerHugePage);
  EXPECT_GE(some, kPagesPerHugePage);
  EXPECT_LE(some, dirty / nodes()) << "the first heap had enough";
  EXPECT_EQ(heaps_.Release(~size_t{0}), dirty - some);
  EXPECT_EQ(heaps_.Stats().dirty_pages, 0u);
  make_dirty();
  heaps_.ReleaseUnused();
  EXPECT_EQ(heaps_.Stats().dirty_pages, 0u);
  make_dirty();
  EXPECT_TRUE(heaps_.Decays());
  on_->clock.Advance(10'000);
  heaps_.ReleaseExcess(on_->clock.NowMs());
  on_->clock.Advance(10'000);
  heaps_.ReleaseExcess(on_->clock.NowMs());
  EXPECT_LE(heaps_.Stats().dirty_pages, nodes() * ReleasePolicy::kFloorPages);
  EXPECT_FALSE(heaps_.Decays());
  make_dirty();
  const size_t mapped = on_->memory.mapped_in_arena();
  EXPECT_TRUE(heaps_.ReclaimForRetry());
  EXPECT_LE(on_->memory.mapped_in_arena(), mapped - nodes() * 8 * kHugePageSize);
}

TEST_P(NodeHeapsTest, GrowthIsSeenOnAnyNode) {
  for (uint32_t node = 0; node < nodes(); ++node) {
    RunOn(node);
    heaps_.TakeGrowth();
    heaps_.NoteIdleReturned();
    EXPECT_FALSE(heaps_.HasGrown());
    size_t pages = 0;
    HeapGrowth growth;
    while (!growth.much) {
      while (!heaps_.HasGrown())
        ASSERT_NE(heaps_.AllocateShared(kClass, InPageMap::kYes, node), nullptr);
      growth = heaps_.TakeGrowth();
      pages += growth.pages;
    }
    EXPECT_TRUE(heaps_.HasExceededFloor());
    EXPECT_GE(pages, ReleasePolicy::kFloorPages);
  }
}

TEST_P(NodeHeapsTest, SettingsHoldForHeapsThatExistAndThoseToCome) {
  const auto last = static_cast<uint32_t>(nodes() - 1);
  RunOn(last);
  heaps_.SetDecay(0);
  heaps_.SetHugePageWish(HugePageWish::kAlways);
  on_->memory.GiveHugePages();
  Span* span = heaps_.AllocateLarge(8 * kPagesPerHugePage, 1);
  EXPECT_EQ(on_->memory.Advised(span->start, span->bytes()), 8u);
  EXPECT_EQ(heaps_.DecayMs(), 0);
  heaps_.FreeLarge(BlockOf(span));
  heaps_.ReleaseExcess(1);
  EXPECT_EQ(heaps_.Stats().dirty_pages, 0u);
  heaps_.SetDecay(-1);
  heaps_.FreeLarge(BlockOf(heaps_.AllocateLarge(8 * kPagesPerHugePage, 1)));
  heaps_.ReleaseUnused();
  EXPECT_GE(heaps_.Stats().dirty_pages, 8 * kPagesPerHugePage);
}

TEST_P(NodeHeapsTest, WhatMayBeDirtyIsSharedOut) {
  heaps_.SetDecay(-1);
  heaps_.SetDirtyLimit(nodes() * (16 << 20), 0);
  for (uint32_t node = 0; node < nodes(); ++node) {
    RunOn(node);
    heaps_.FreeLarge(BlockOf(heaps_.AllocateLarge(14 * kPagesPerHugePage, 1)));
  }
  EXPECT_LE(heaps_.Stats().dirty_pages, nodes() * (16 << 20) / kPageSize);
  EXPECT_NE(heaps_.Stats().dirty_pages, 0u);
}

TEST_P(NodeHeapsTest, PartsOfSpansGoBack) {
  std::vector<Span*> spans;
  for (uint32_t node = 0; node < nodes(); ++node) {
    Span* span = heaps_.AllocateShared(kClass, InPageMap::kYes, node);
    spans.push_back(span);
    memset(BlockOf(span), 1, span->bytes());
    EXPECT_TRUE(heaps_.ReleaseParts(span, 1, 1, nullptr));
    span->SetReleased(2);  // as its owner notes it
    EXPECT_TRUE(heaps_.MayRetake(span, 1));
    EXPECT_EQ(on_->memory.Resident(BlockOf(span), span->bytes()), span->bytes() - kReleaseUnit);
  }
  EXPECT_EQ(heaps_.Stats().release_calls, nodes());
  EXPECT_TRUE(heaps_.CheckInvariants());
  for (Span* span : spans) {
    span->SetReleased(0);
    heaps_.NoteRetaken(span, 1);
  }
}

TEST_P(NodeHeapsTest, StatisticsAddUp) {
  for (uint32_t node = 0; node < nodes(); ++node) {
    RunOn(node);
    heaps_.AllocateLarge(10, 1);
    heaps_.FreeLarge(BlockOf(heaps_.AllocateLarge(7, 1)));
  }
  const PageHeapStats stats = heaps_.Stats();
  EXPECT_EQ(stats.large_spans, nodes());
  EXPECT_EQ(stats.large_pages, 10 * nodes());
  EXPECT_EQ(stats.large_allocated, 2 * nodes());
  EXPECT_EQ(stats.large_freed, nodes());
  EXPECT_EQ(stats.mapped_pages, stats.span_pages + stats.dirty_pages + stats.clean_pages);
  EXPECT_EQ(stats.mapped_pages * kPageSize, on_->memory.mapped_in_arena());
}

TEST_P(NodeHeapsTest, AllHeapsServeAfterAForkInParentAndChild) {
  for (uint32_t node = 0; node < nodes(); ++node)
    heaps_.AllocateShared(kClass, InPageMap::kYes, node);
  heaps_.LockForFork();
  heaps_.UnlockAfterFork();
  for (uint32_t node = 0; node < nodes(); ++node)
    EXPECT_NE(heaps_.AllocateShared(kClass, InPageMap::kYes, node), nullptr);
  heaps_.LockForFork();
  heaps_.ResetAfterFork();
  for (uint32_t node = 0; node < nodes(); ++node)
    EXPECT_NE(heaps_.AllocateShared(kClass, InPageMap::kYes, node), nullptr);
  heaps_.Release(~size_t{0});
}

TEST_P(NodeHeapsTest, ALimitHoldsForAllHeapsTogether) {
  constexpr size_t kLimit = 40 * kPagesPerHugePage;
  heaps_.SetLimits(PageHeap::kNoLimit, kLimit);
  std::vector<Span*> spans;
  for (size_t i = 0; i < 1000; ++i) {
    RunOn(static_cast<uint32_t>(i % nodes()));
    Span* span = heaps_.AllocateLarge(100, 1);
    if (span == nullptr) break;
    spans.push_back(span);
    ASSERT_LE(heaps_.HeldPages(), kLimit);
  }
  // Whatever is left of it, one heap or another has it for a single request.
  EXPECT_GT(heaps_.HeldPages(), kLimit - 100);
  EXPECT_TRUE(heaps_.RefusesForLimit(100));
  EXPECT_FALSE(heaps_.RefusesForLimit(kLimit - heaps_.HeldPages()));
  for (uint32_t node = 0; node < nodes(); ++node) {
    RunOn(node);
    EXPECT_EQ(heaps_.AllocateLarge(100, 1), nullptr);
  }
  RunOn(static_cast<uint32_t>(nodes() - 1));
  heaps_.FreeLarge(BlockOf(spans[0]));
  EXPECT_FALSE(heaps_.RefusesForLimit(100));
  heaps_.Release(~size_t{0});
  EXPECT_NE(heaps_.AllocateLarge(100, 1), nullptr) << "what another node has freed";
  heaps_.SetLimits(PageHeap::kNoLimit, PageHeap::kNoLimit);
  EXPECT_NE(heaps_.AllocateLarge(100 * kPagesPerHugePage, 1), nullptr);
}

TEST_P(NodeHeapsTest, ALimitIsNoticedBeforeAllHeapsTogetherReachIt) {
  constexpr size_t kLimit = 40 * kPagesPerHugePage;
  for (int round = 0; round < 3; ++round) {
    heaps_.SetLimits(kLimit, PageHeap::kNoLimit);
    EXPECT_FALSE(heaps_.LimitNoticed());
    for (size_t i = round; !heaps_.LimitNoticed(); ++i) {
      RunOn(static_cast<uint32_t>(i % nodes()));
      ASSERT_NE(heaps_.AllocateLarge(10, 1), nullptr);
      // A heap sees it one block late.
      ASSERT_LE(heaps_.HeldPages(), kLimit + 20 * nodes() * (1 + static_cast<size_t>(round)));
    }
    EXPECT_TRUE(heaps_.HasGrown());
  }
}

TEST_P(NodeHeapsTest, ThreadsOfAllNodesAtOnce) {
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 2 * nodes(); ++i) {
    threads.emplace_back([this, i] {
      for (uint32_t round = 0; round < 200; ++round) {
        const auto node = static_cast<uint32_t>((i + round / 50) % nodes());
        RunOn(node);
        Span* large = heaps_.AllocateLarge(1 + round % 30, 1);
        Span* span = heaps_.AllocateShared(kClass, InPageMap::kYes, node);
        ASSERT_TRUE(LiesOn(node, large) && LiesOn(node, span));
        RunOn(static_cast<uint32_t>(i % nodes()));
        if (round % 10 == 0) heaps_.Release(100);
        if (round % 20 == 0) heaps_.SetDecay(1000 + round);
        ASSERT_EQ(heaps_.FreeLarge(BlockOf(large)), LargeFault::kNone);
        heaps_.FreeShared(span);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(heaps_.heaps(), nodes());
  EXPECT_EQ(heaps_.Stats().span_pages, 0u);
}

}  // namespace
}  // namespace spanmalloc

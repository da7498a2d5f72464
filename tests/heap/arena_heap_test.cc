// SPDX-License-Identifier: Apache-2.0
//
// Page heaps of explicit arenas: what they borrow, whom it belongs to meanwhile, how it comes back.
#include "allocator/heap/arena_heap.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr SizeClass kClass = 20;
constexpr SizeClass kLargestClass = kSizeClassEnd - 1;

class ArenaHeapTest : public testing::Test {
 protected:
  ArenaHeapTest() {
    EXPECT_TRUE(heaps_.AdmitArenas());
    for (unsigned arena = 1; arena < 8; ++arena) heaps_.SetArenaDecay(arena, 1000);
  }
  ~ArenaHeapTest() { EXPECT_TRUE(heaps_.CheckInvariants()); }

  Span* Shared(unsigned arena, SizeClass c = kClass) {
    Span* span = heaps_.AllocateSharedIn(arena, c);
    EXPECT_NE(span, nullptr);
    memset(Block(span), 1, span->bytes());
    return span;
  }
  Span* Large(unsigned arena, size_t pages) {
    Span* span = heaps_.AllocateLargeIn(arena, pages, 1);
    EXPECT_NE(span, nullptr);
    memset(Block(span), 1, span->bytes());
    return span;
  }
  static void* Block(const Span* span) { return reinterpret_cast<void*>(span->start); }
  PageHeap& HeapOf(unsigned arena) { return *heaps_.ArenaHeapAt(arena); }
  size_t Mapped(unsigned arena) { return heaps_.ArenaStats(arena).mapped_pages; }

  std::unique_ptr<HeapOnFakes> on_ = std::make_unique<HeapOnFakes>();
  NodeHeaps& heaps_ = on_->node_heaps;
};

TEST_F(ArenaHeapTest, NoHugePageIsSharedAndEachHasItsOwner) {
  std::map<size_t, unsigned> owners;  // of huge pages
  for (int i = 0; i < 200; ++i) {
    for (unsigned arena = 0; arena < 4; ++arena) {
      const size_t pages = static_cast<size_t>(i * 7 % 600 + 1);
      Span* spans[] = {
          arena == 0 ? heaps_.AllocateShared(kClass, InPageMap::kYes, 0) : Shared(arena),
          arena == 0 ? heaps_.AllocateLarge(pages, 1) : Large(arena, pages)};
      for (const Span* span : spans) {
        const size_t last = HugePageIndex(span->start + span->bytes() - 1);
        for (size_t index = HugePageIndex(span->start); index <= last; ++index) {
          EXPECT_EQ(owners.emplace(index, arena).first->second, arena);
        }
        EXPECT_EQ(heaps_.ArenaOf(span->start), arena);
      }
    }
  }
  for (unsigned arena = 1; arena < 4; ++arena) HeapOf(arena).FreeAll();
  for (const auto& [index, arena] : owners) {
    EXPECT_EQ(heaps_.ArenaOf(index << kHugePageShift), 0u);
  }
}

TEST_F(ArenaHeapTest, AnArenaWithoutBlocksCostsNoHeap) {
  EXPECT_EQ(heaps_.ArenaHeapAt(1), nullptr);
  EXPECT_EQ(Mapped(1), 0u);
  RecordProperty("heap_bytes", static_cast<int>(sizeof(ArenaHeap)));
  EXPECT_LE(sizeof(ArenaHeap), 8192u);
}

TEST_F(ArenaHeapTest, WhatIsFreedIsFoundByItsAddress) {
  Span* large = Large(1, 600);
  Span* small = Large(2, 5);
  Span* objects = Shared(2);
  EXPECT_EQ(heaps_.FreeLarge(static_cast<char*>(Block(large)) + 64), LargeFault::kInterior);
  EXPECT_EQ(heaps_.FreeLarge(Block(objects)), LargeFault::kNoBlock);
  void* block = Block(large);
  EXPECT_EQ(heaps_.FreeLarge(block), LargeFault::kNone);
  EXPECT_EQ(heaps_.FreeLarge(block), LargeFault::kNoBlock);
  EXPECT_EQ(heaps_.FreeLarge(Block(small)), LargeFault::kNone);
  heaps_.FreeShared(objects);
  EXPECT_EQ(heaps_.Stats().span_pages, 0u);
  EXPECT_EQ(heaps_.ArenaStats(1).large_freed, 1u);
  EXPECT_EQ(heaps_.ArenaStats(2).large_freed, 1u);
  EXPECT_EQ(heaps_.NodeStats().large_freed, 0u);
}

TEST_F(ArenaHeapTest, AfterItsDecayAllGoesBackToTheCommonHeap) {
  const size_t mapped = heaps_.NodeStats().mapped_pages;
  Span* large = Large(1, 600);
  Span* objects = Shared(1);
  EXPECT_GE(Mapped(1), 4 * kPagesPerHugePage);
  EXPECT_EQ(heaps_.NodeStats().mapped_pages + Mapped(1), heaps_.Stats().mapped_pages);
  on_->clock.Advance(1);
  heaps_.ReleaseExcess(on_->clock.NowMs());
  EXPECT_EQ(heaps_.FreeLarge(Block(large)), LargeFault::kNone);
  heaps_.FreeShared(objects);
  heaps_.ReleaseExcess(on_->clock.NowMs());
  EXPECT_GE(Mapped(1), 2 * kPagesPerHugePage) << "kept for a while";
  on_->clock.Advance(3000);
  heaps_.ReleaseExcess(on_->clock.NowMs());
  EXPECT_EQ(Mapped(1), 0u);
  EXPECT_EQ(heaps_.ArenaStats(1).dirty_pages, 0u);
  EXPECT_GT(heaps_.NodeStats().mapped_pages, mapped);
}

TEST_F(ArenaHeapTest, DecayTimesAreEachArenasOwn) {
  heaps_.SetArenaDecay(2, -1);
  heaps_.SetArenaDecay(3, 0);
  for (unsigned arena = 1; arena <= 3; ++arena) heaps_.FreeLarge(Block(Large(arena, 100)));
  heaps_.ReleaseExcess(on_->clock.NowMs());
  EXPECT_NE(heaps_.ArenaStats(1).dirty_pages, 0u);
  EXPECT_EQ(heaps_.ArenaStats(3).dirty_pages, 0u) << "at once";
  on_->clock.Advance(100'000);
  heaps_.ReleaseExcess(on_->clock.NowMs());
  EXPECT_EQ(heaps_.ArenaStats(1).dirty_pages, 0u);
  EXPECT_NE(heaps_.ArenaStats(2).dirty_pages, 0u) << "never";
  heaps_.SetArenaDecay(2, 0);
  heaps_.ReleaseExcess(on_->clock.NowMs());
  EXPECT_EQ(heaps_.ArenaStats(2).dirty_pages, 0u);
}

TEST_F(ArenaHeapTest, FreeAllTakesEverySpan) {
  const size_t used = heaps_.NodeStats().span_pages;
  const size_t metadata = on_->metadata.used_bytes();
  size_t after_first = 0;
  for (int round = 0; round < 3; ++round) {
    std::vector<const void*> blocks;
    for (int i = 0; i < 60; ++i) {
      blocks.push_back(Block(Shared(1)));
      blocks.push_back(Block(Shared(1, kLargestClass)));
      blocks.push_back(Block(Large(1, 33)));
      blocks.push_back(Block(Large(1, 300)));
    }
    for (size_t i = 2; i < blocks.size(); i += 12) {
      EXPECT_EQ(heaps_.FreeLarge(const_cast<void*>(blocks[i])), LargeFault::kNone);
    }
    HeapOf(1).FreeAll();
    EXPECT_TRUE(heaps_.CheckInvariants());
    for (const void* block : blocks) EXPECT_EQ(on_->page_map.SpanOf(block), nullptr);
    const PageHeapStats stats = heaps_.ArenaStats(1);
    EXPECT_EQ(stats.span_pages, 0u);
    EXPECT_EQ(stats.large_pages, 0u);
    EXPECT_EQ(stats.large_spans, 0u);
    EXPECT_EQ(stats.mapped_pages, 0u);
    EXPECT_EQ(stats.dirty_pages, 0u);
    EXPECT_EQ(stats.large_allocated, stats.large_freed);
    if (round == 0) after_first = on_->metadata.used_bytes();
  }
  EXPECT_EQ(heaps_.NodeStats().span_pages, used);
  EXPECT_NE(heaps_.NodeStats().dirty_pages, 0u) << "the common heap decides about them";
  EXPECT_EQ(on_->metadata.used_bytes(), after_first);
  EXPECT_LE(after_first - metadata, 8192u + 512) << "what an arena in use costs";
}

TEST_F(ArenaHeapTest, WithoutDecayFreeAllGivesTheMemoryBack) {
  heaps_.SetArenaDecay(1, 0);
  Span* span = Large(1, 600);
  const uintptr_t start = span->start;
  Shared(1);
  const size_t dirty = heaps_.NodeStats().dirty_pages;
  HeapOf(1).FreeAll();
  EXPECT_EQ(heaps_.NodeStats().dirty_pages, dirty);
  EXPECT_EQ(on_->memory.Resident(reinterpret_cast<void*>(start), kHugePageSize), 0u);
}

TEST_F(ArenaHeapTest, LargeBlocksGrowIntoTheCommonHeap) {
  Span* span = Large(1, 600);
  EXPECT_TRUE(heaps_.GrowLarge(span, 3000, nullptr));
  EXPECT_EQ(heaps_.ArenaOf(span->start + span->bytes() - 1), 1u);
  heaps_.ShrinkLarge(span, 300);
  on_->clock.Advance(10'000);
  heaps_.ReleaseExcess(on_->clock.NowMs());
  EXPECT_LE(Mapped(1), 4 * kPagesPerHugePage);
  HeapOf(1).FreeAll();
}

TEST_F(ArenaHeapTest, MovedPagesComeBackUsable) {
  Span* from = Large(1, 600);
  Span* to = heaps_.AllocateLargeIn(1, 1200, 1);
  ASSERT_TRUE(heaps_.MoveLarge(from, to));
  Span* other = Large(2, 600);
  EXPECT_FALSE(heaps_.MoveLarge(to, other)) << "of another arena";
  HeapOf(1).FreeAll();
  HeapOf(2).FreeAll();
  Span* again = heaps_.AllocateLarge(3000, 1);
  ASSERT_NE(again, nullptr);
  memset(Block(again), 1, again->bytes());
}

TEST_F(ArenaHeapTest, RefusedMemoryIsSurvived) {
  on_->memory.RefuseAll(FakeVirtualMemory::Call::kMap);
  while (on_->metadata.Allocate(64) != nullptr) {
  }
  EXPECT_EQ(heaps_.AllocateLargeIn(1, 5, 1), nullptr);
  EXPECT_EQ(heaps_.ArenaHeapAt(1), nullptr);
  on_->memory.RefuseNothing();
  Large(1, 5);
  on_->memory.RefuseAll(FakeVirtualMemory::Call::kMapAt);
  EXPECT_EQ(heaps_.AllocateLargeIn(1, 100'000, 1), nullptr);
  EXPECT_TRUE(heaps_.CheckInvariants());
  on_->memory.RefuseNothing();
}

TEST_F(ArenaHeapTest, LimitsHoldForAllTogether) {
  heaps_.SetLimits(PageHeap::kNoLimit, 4000);
  for (unsigned arena = 1; arena < 4; ++arena) Large(arena, 1000);
  EXPECT_NE(heaps_.AllocateLarge(500, 1), nullptr);
  EXPECT_EQ(heaps_.AllocateLargeIn(1, 1000, 1), nullptr);
  EXPECT_EQ(heaps_.AllocateLarge(1000, 1), nullptr);
  EXPECT_TRUE(heaps_.RefusesForLimit(1000));
  HeapOf(2).FreeAll();
  EXPECT_TRUE(heaps_.ReclaimForRetry());
  EXPECT_NE(heaps_.AllocateLargeIn(1, 1000, 1), nullptr);
  heaps_.SetLimits(heaps_.HeldPages() + 10, PageHeap::kNoLimit);
  EXPECT_FALSE(heaps_.LimitNoticed());
  Large(3, 600);
  EXPECT_TRUE(heaps_.LimitNoticed());
  EXPECT_TRUE(heaps_.HasGrown());
}

TEST_F(ArenaHeapTest, ReclaimingUnmapsWhatArenasHoldFree) {
  heaps_.FreeLarge(Block(Large(1, 2000)));
  const size_t mapped = on_->memory.mapped_in_arena();
  EXPECT_TRUE(heaps_.ReclaimForRetry());
  EXPECT_LE(on_->memory.mapped_in_arena(), mapped - 7 * kHugePageSize);
  EXPECT_EQ(Mapped(1), 0u);
  Large(1, 2000);
}

// Maintenance gives pages back without the lock, and the owner of the arena knows nothing of it.
TEST_F(ArenaHeapTest, FreeAllWaitsForAReleaseUnderWay) {
  for (const bool whole : {true, false}) {
    const void* block = Block(Large(1, 5));
    heaps_.FreeLarge(Block(Large(1, whole ? 600 : 100)));
    std::atomic<bool> freed{false};
    std::thread owner;
    on_->memory.DuringNextRelease([&] {
      owner = std::thread([&] {
        HeapOf(1).FreeAll();
        freed = true;
      });
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      EXPECT_FALSE(freed) << "the pages are being released";
    });
    HeapOf(1).Release(~size_t{0});
    owner.join();
    EXPECT_EQ(on_->page_map.SpanOf(block), nullptr);
    EXPECT_EQ(Mapped(1), 0u);
    EXPECT_TRUE(heaps_.CheckInvariants());
  }
}

// Advice is the kernel's about the memory, whoever has it.
TEST_F(ArenaHeapTest, AdviceGoesWithTheHugePages) {
  on_->memory.GiveHugePages();
  heaps_.SetHugePageWish(HugePageWish::kAlways);
  Large(1, 1024);
  EXPECT_NE(heaps_.ArenaStats(1).mapping_splits, 0u);
  HeapOf(1).FreeAll();
  EXPECT_EQ(heaps_.ArenaStats(1).mapping_splits, 0u);
  EXPECT_NE(heaps_.NodeStats().mapping_splits, 0u);
  EXPECT_TRUE(heaps_.CheckInvariants());
  Large(2, 1024);
  EXPECT_NE(heaps_.ArenaStats(2).mapping_splits, 0u);
}

// Against a model: whatever is done, every span keeps its bytes and its arena.
TEST_F(ArenaHeapTest, AnythingInAnyOrder) {
  std::mt19937 random(7);
  struct Held {
    Span* span;
    unsigned arena;
    char fill;
  };
  std::vector<Held> held;
  const auto check = [](const Held& one) {
    const char* bytes = static_cast<const char*>(Block(one.span));
    return bytes[0] == one.fill && bytes[one.span->bytes() - 1] == one.fill;
  };
  for (int step = 0; step < 6000; ++step) {
    const unsigned arena = 1 + random() % 5;
    switch (random() % 16) {
      default: {
        const size_t pages = 1 + random() % (random() % 8 == 0 ? 1500 : 60);
        Span* span = random() % 2 == 0 ? heaps_.AllocateSharedIn(arena, kClass)
                                       : heaps_.AllocateLargeIn(arena, pages, 1);
        if (span == nullptr) break;
        const auto fill = static_cast<char>(random());
        memset(Block(span), fill, span->bytes());
        held.push_back({span, arena, fill});
        break;
      }
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5: {
        if (held.empty()) break;
        std::swap(held[random() % held.size()], held.back());
        ASSERT_TRUE(check(held.back()));
        if (held.back().span->size_class != kNoSizeClass) {
          heaps_.FreeShared(held.back().span);
        } else {
          EXPECT_EQ(heaps_.FreeLarge(Block(held.back().span)), LargeFault::kNone);
        }
        held.pop_back();
        break;
      }
      case 6:
        on_->clock.Advance(random() % 700);
        heaps_.ReleaseExcess(on_->clock.NowMs());
        break;
      case 7:
        if (random() % 30 != 0) break;
        for (const Held& one : held) {
          if (one.arena == arena) ASSERT_TRUE(check(one));
        }
        std::erase_if(held, [arena](const Held& one) { return one.arena == arena; });
        if (PageHeap* heap = heaps_.ArenaHeapAt(arena)) heap->FreeAll();
        break;
    }
    if (step % 200 == 0) ASSERT_TRUE(heaps_.CheckInvariants());
  }
  for (const Held& one : held) EXPECT_TRUE(check(one));
}

}  // namespace
}  // namespace spanmalloc

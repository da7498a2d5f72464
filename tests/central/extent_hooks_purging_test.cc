// SPDX-License-Identifier: Apache-2.0
//
// Arenas whose hooks purge what is free inside of spans that are in use: what is purged and when,
// and what the program may do meanwhile.
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/extent_hooks_on_fakes.h"
#include "tests/support/object_state.h"

namespace spanmalloc {
namespace {

class PurgedSpansTest : public ExtentHooksTest {
 protected:
  static constexpr size_t kBlocks = 20'000;

  PurgedSpansTest() { provider_.declined = {"dalloc", "decommit", "split"}; }

  // Leaves some of many blocks.
  void Thin(unsigned arena) {
    std::vector<char*> blocks(kBlocks);
    for (char*& block : blocks) {
      block = static_cast<char*>(Filled(arena, kSizeClassTable[kClass].size));
    }
    for (size_t i = 0; i < kBlocks; ++i) {
      if (i % 100 == 0) {
        kept_.push_back(blocks[i]);
      } else {
        on_.FreeInArena(blocks[i]);
      }
    }
    provider_.Take();
  }
  size_t ReleasedBytes(unsigned arena) {
    CentralFreeListStats stats = {};
    arenas_.AddStats(arena, kClass, &stats);
    return stats.released_parts * kReleaseUnit;
  }
  void ExpectKept() {
    for (char* block : kept_) {
      for (size_t i = 0; i < kSizeClassTable[kClass].size; ++i) ASSERT_EQ(block[i], 0x77);
    }
  }

  std::vector<char*> kept_;
};

TEST_F(PurgedSpansTest, WhatIsFreeInsideSpansIsPurged) {
  const unsigned arena = Create(&provider_);
  Thin(arena);
  arenas_.Purge(arena);
  EXPECT_GE(provider_.Count("forced"), 20u);
  EXPECT_GE(ReleasedBytes(arena), kBlocks * kSizeClassTable[kClass].size / 4);
  ExpectKept();
  provider_.Take();
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Count("forced"), 0u) << "again";
  // All can be had again, and is zero where it was purged.
  for (size_t i = 0; i < kBlocks; ++i) EXPECT_NE(Filled(arena, 64), nullptr);
  EXPECT_EQ(ReleasedBytes(arena), 0u);
  ExpectKept();
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(PurgedSpansTest, WhereNobodyPurgesNothingIsSearched) {
  provider_.purge_forced = provider_.purge_lazy = nullptr;
  const unsigned arena = Create(&provider_);
  Thin(arena);
  arenas_.Purge(arena);
  EXPECT_EQ(ReleasedBytes(arena), 0u);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(PurgedSpansTest, WhatIsDeclinedIsKept) {
  provider_.declined.insert("forced");
  const unsigned arena = Create(&provider_);
  Thin(arena);
  arenas_.Purge(arena);
  EXPECT_GE(provider_.Count("lazy"), 20u);
  EXPECT_GT(ReleasedBytes(arena), 0u);
  bool zeroed = true;
  void* block = nullptr;
  EXPECT_EQ(arenas_.AllocateBatch(arena, kClass, &block, 1, &zeroed), 1u);
  EXPECT_FALSE(zeroed);
  provider_.declined.insert("lazy");
  EXPECT_TRUE(arenas_.Reset(arena));
  kept_.clear();
  Thin(arena);
  arenas_.Purge(arena);
  EXPECT_EQ(ReleasedBytes(arena), 0u);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(PurgedSpansTest, ItIsPurgedByTimeUnlessAllIsKept) {
  const unsigned arena = Create(&provider_, 1000);
  const auto serve = [&] {
    on_.clock.Advance(1100);
    arenas_.ServeHooked(arena, on_.clock.NowMs());
  };
  serve();
  Thin(arena);
  serve();
  EXPECT_EQ(ReleasedBytes(arena), 0u) << "needed within the time";
  serve();
  EXPECT_GT(ReleasedBytes(arena), 0u);
  ExpectKept();
  EXPECT_TRUE(arenas_.Reset(arena));
  kept_.clear();
  Thin(arena);
  arenas_.SetDirtyDecay(arena, -1);
  for (int i = 0; i < 5; ++i) serve();
  arenas_.ReturnUnusedHooked();
  EXPECT_EQ(ReleasedBytes(arena), 0u);
  arenas_.SetDirtyDecay(arena, 1000);
  arenas_.ReturnUnusedHooked();
  EXPECT_GT(ReleasedBytes(arena), 0u);
  EXPECT_TRUE(Destroy(arena));
}

// The program goes on meanwhile: no lock is held, and no block is where the hook purges.
TEST_F(PurgedSpansTest, BlocksAreTakenAndFreedMeanwhile) {
  const unsigned arena = Create(&provider_);
  Thin(arena);
  size_t freed = 0;
  provider_.during = [&](const std::string& name) {
    if (name != "forced") return;
    std::thread([&] {
      EXPECT_TRUE(arenas_.CheckInvariants());
      // All that is left in the span that is being purged.
      const Span* span = on_.page_map.SpanOf(provider_.purging);
      freed += std::erase_if(kept_, [&](char* block) {
        if (span == nullptr || on_.page_map.SpanOf(block) != span) return false;
        on_.FreeInArena(block);
        return true;
      });
      EXPECT_TRUE(arenas_.CheckInvariants());
      on_.FreeInArena(Filled(arena, 64));
    }).join();
  };
  arenas_.Purge(arena);
  EXPECT_GT(freed, 10u);
  ExpectKept();
  provider_.during = nullptr;
  for (char* block : kept_) on_.FreeInArena(block);
  provider_.declined = {};
  arenas_.Purge(arena);
  EXPECT_TRUE(Destroy(arena));
  EXPECT_TRUE(provider_.extents.empty());
}

TEST_F(PurgedSpansTest, ASecondFreeIsSeenMeanwhile) {
  const unsigned arena = Create(&provider_);
  Thin(arena);
  Span* span = on_.page_map.SpanOf(kept_[50]);
  void* object = nullptr;
  for (size_t i = 0; object == nullptr; ++i) {
    const uintptr_t at = span->start + i * span->object_size();
    if (StateOfObjectAt(*span, at) == ObjectState::kFree) object = reinterpret_cast<void*>(at);
  }
  size_t faults = 0;
  provider_.during = [&](const std::string& name) {
    if (name != "forced") return;
    on_.FreeInArena(object);
    faults += FaultLog::Take().size();
  };
  arenas_.Purge(arena);
  EXPECT_EQ(faults, provider_.Count("forced"));
  EXPECT_TRUE(Destroy(arena));
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// Regions: what they hand out, when memory is committed and given back, marks good and bad, one
// thread's and several threads'.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "allocator/heap/region_set.h"
#include "gtest/gtest.h"
#include "tests/support/fake_virtual_memory.h"

namespace spanmalloc {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPage = 4096;

uintptr_t Address(const void* block) { return reinterpret_cast<uintptr_t>(block); }

class RegionTest : public testing::TestWithParam<bool> {
 protected:
  ~RegionTest() { EXPECT_TRUE(set_.CheckInvariants()); }

  Region* Create(size_t reserve) {
    Region* region = set_.Create(reserve, GetParam());
    EXPECT_NE(region, nullptr);
    return region;
  }
  char* Allocate(Region* region, size_t size, size_t alignment = 1) {
    return static_cast<char*>(set_.Allocate(region, size, alignment));
  }

  FakeVirtualMemory memory_;
  MetadataAllocator metadata_{memory_};
  RegionSet set_{memory_, metadata_};
};

INSTANTIATE_TEST_SUITE_P(OwnedAndShared, RegionTest, testing::Bool());

TEST_P(RegionTest, HandsOutOneBlockBehindTheOther) {
  Region* region = Create(64 * kMiB);
  char* first = Allocate(region, 100);
  EXPECT_EQ(Address(first), region->base());
  EXPECT_EQ(Allocate(region, 7), first + 100);
  EXPECT_EQ(Allocate(region, 16, 16), first + 112);
  EXPECT_EQ(Allocate(region, 1, kPage), first + kPage);
  EXPECT_EQ(Allocate(region, 1), first + kPage + 1);
  EXPECT_EQ(region->Sizes().used, kPage + 2);
  set_.Destroy(region);
}

TEST_P(RegionTest, AlignsToAnyPowerOfTwo) {
  Region* region = Create(size_t{1} << 30);
  for (size_t alignment = 1; alignment <= 256 * kMiB; alignment *= 2) {
    char* block = Allocate(region, 3, alignment);
    ASSERT_NE(block, nullptr) << alignment;
    EXPECT_EQ(Address(block) % alignment, 0u);
    block[2] = 1;
  }
  set_.Destroy(region);
}

TEST_P(RegionTest, CommitsAsItGrows) {
  Region* region = Create(64 * kMiB);
  EXPECT_EQ(region->Sizes().committed, 0u);
  EXPECT_EQ(region->Sizes().reserved, 64 * kMiB);
  void* base = reinterpret_cast<void*>(region->base());
  EXPECT_TRUE(memory_.IsAll(FakeVirtualMemory::State::kReserved, base, 64 * kMiB));
  size_t used = 0;
  while (used < 64 * kMiB) {
    char* block = Allocate(region, 1000);
    if (block == nullptr) break;
    EXPECT_EQ(std::count(block, block + 1000, 0), 1000) << "not zero";
    memset(block, 1, 1000);
    used += 1000;
    ASSERT_GE(region->Sizes().committed, used);
    ASSERT_LE(region->Sizes().committed, used + 64 * 1024 + std::min(used, 4 * kMiB));
  }
  EXPECT_EQ(used, 64 * kMiB / 1000 * 1000);
  EXPECT_LT(memory_.calls(FakeVirtualMemory::kCommit), 45u);
  set_.Destroy(region);
  EXPECT_TRUE(memory_.IsAll(FakeVirtualMemory::State::kUnmapped, base, 64 * kMiB));
}

TEST_P(RegionTest, StepsAreNoLongerThanTheyMayBeWhereverARegionLies) {
  std::vector<Region*> regions;  // sizes that make them begin anywhere in a huge page
  for (size_t i = 0; i < 8; ++i) {
    Region* region = Create(16 * kMiB + i * kMiB / 4);
    regions.push_back(region);
    size_t committed = 0;
    while (Allocate(region, 1000) != nullptr) {
      const size_t step = region->Sizes().committed - committed;
      ASSERT_LE(step, std::clamp(committed, kMiB / 16, 2 * kMiB)) << "from " << committed;
      committed += step;
    }
    EXPECT_EQ(committed, region->Sizes().reserved);
  }
  for (Region* region : regions) set_.Destroy(region);
}

TEST_P(RegionTest, TheEndIsTheEnd) {
  Region* region = Create(10 * kPage);
  EXPECT_EQ(Allocate(region, 10 * kPage + 1), nullptr);
  EXPECT_EQ(Allocate(region, SIZE_MAX), nullptr);
  EXPECT_EQ(Allocate(region, SIZE_MAX - kPage, 64), nullptr);
  EXPECT_EQ(Allocate(region, SIZE_MAX / 2 + 1), nullptr);
  EXPECT_NE(Allocate(region, 9 * kPage + 1), nullptr);
  EXPECT_EQ(Allocate(region, 1, size_t{1} << 62), nullptr);
  EXPECT_EQ(Allocate(region, kPage), nullptr);
  EXPECT_NE(Allocate(region, kPage - 1), nullptr);
  EXPECT_EQ(Allocate(region, 1), nullptr);
  EXPECT_EQ(region->Sizes().used, 10 * kPage);
  set_.Destroy(region);
  EXPECT_EQ(set_.Create(SIZE_MAX, GetParam()), nullptr);
  EXPECT_EQ(set_.Create(SIZE_MAX / 2, GetParam()), nullptr);
  region = Create(0);
  EXPECT_EQ(region->Sizes().reserved, kPage);
  set_.Destroy(region);
}

TEST_P(RegionTest, RefusalsChangeNothing) {
  memory_.RefuseAll(FakeVirtualMemory::kReserve);
  EXPECT_EQ(set_.Create(kMiB, GetParam()), nullptr);
  memory_.RefuseNothing();
  Region* region = Create(64 * kMiB);
  memory_.RefuseAll(FakeVirtualMemory::kCommit);
  EXPECT_EQ(Allocate(region, 1), nullptr);
  memory_.RefuseNothing();
  char* block = Allocate(region, 5 * kMiB);
  ASSERT_NE(block, nullptr);
  // The whole step is refused, what is needed of it isn't.
  memory_.Refuse(FakeVirtualMemory::kCommit, 1, 1);
  EXPECT_EQ(Allocate(region, 2 * kMiB), block + 5 * kMiB);
  EXPECT_LT(region->Sizes().committed, 7 * kMiB + 2 * kMiB);
  // A region whose address space stays gives its memory back all the same.
  memset(block, 1, kMiB);
  memory_.RefuseAll(FakeVirtualMemory::kUnmap);
  const size_t releases = memory_.calls(FakeVirtualMemory::kRelease);
  set_.Destroy(region);
  EXPECT_EQ(memory_.calls(FakeVirtualMemory::kRelease), releases + 1);
  memory_.RefuseNothing();
}

TEST_P(RegionTest, RewindsToMarksInLifoOrder) {
  Region* region = Create(kMiB);
  char* base = Allocate(region, 10);
  const RegionMark outer = region->Mark();
  Allocate(region, 100);
  const RegionMark inner = region->Mark();
  Allocate(region, 1000);
  EXPECT_EQ(region->Rewind(inner), MarkFault::kNone);
  EXPECT_EQ(Allocate(region, 5), base + 110);
  EXPECT_EQ(region->Rewind(inner), MarkFault::kNone) << "a second time";
  EXPECT_EQ(region->Rewind(outer), MarkFault::kNone);
  EXPECT_EQ(Allocate(region, 5), base + 10);
  region->Reset();
  EXPECT_EQ(Allocate(region, 5), base);
  set_.Destroy(region);
}

TEST_P(RegionTest, TellsMarksThatWerePassed) {
  Region* region = Create(kMiB);
  Allocate(region, 100);
  const RegionMark outer = region->Mark();
  Allocate(region, 100);
  const RegionMark inner = region->Mark();
  Allocate(region, 100);
  EXPECT_EQ(region->Rewind(outer), MarkFault::kNone);
  EXPECT_EQ(region->Rewind(inner), MarkFault::kPassed) << "behind the end";
  Allocate(region, 1000);
  EXPECT_EQ(region->Rewind(inner), MarkFault::kPassed) << "grown past it again";
  const RegionMark later = region->Mark();
  Allocate(region, 1000);
  EXPECT_EQ(region->Rewind(later), MarkFault::kNone);
  EXPECT_EQ(region->Rewind(inner), MarkFault::kPassed) << "not the last rewind";
  EXPECT_EQ(region->Sizes().used, 1100u) << "a bad mark changed something";
  region->Reset();
  Allocate(region, 5000);
  EXPECT_EQ(region->Rewind(outer), MarkFault::kPassed);
  EXPECT_EQ(region->Rewind(later), MarkFault::kPassed);
  set_.Destroy(region);
}

TEST_P(RegionTest, TellsMarksOfOtherRegions) {
  Region* region = Create(kMiB);
  Region* other = Create(kMiB);
  Allocate(region, 100);
  Allocate(other, 100);
  EXPECT_EQ(region->Rewind(other->Mark()), MarkFault::kForeign);
  EXPECT_EQ(region->Rewind({0, 0}), MarkFault::kForeign);
  EXPECT_EQ(region->Rewind({region->end() + 1, 0}), MarkFault::kForeign);
  EXPECT_EQ(region->Rewind({region->base(), 77}), MarkFault::kForeign) << "never given";
  EXPECT_EQ(region->Sizes().used, 100u);
  set_.Destroy(region);
  set_.Destroy(other);
}

TEST_P(RegionTest, AMarkIsOfOneRegionWhereverOthersLie) {
  // As the kernel places them: behind each other, and where one has been.
  Region first(kMiB, kMiB, GetParam(), 1);
  Region behind(2 * kMiB, kMiB, GetParam(), 2);
  first.SetCommitted(kMiB);
  uintptr_t end;
  ASSERT_NE(first.Allocate(kMiB, 1, &end), nullptr);
  const RegionMark at_its_end = first.Mark();
  EXPECT_EQ(behind.Rewind(at_its_end), MarkFault::kForeign);
  EXPECT_EQ(first.Rewind(behind.Mark()), MarkFault::kForeign);
  Region in_its_place(kMiB, kMiB, GetParam(), 3);
  in_its_place.SetCommitted(kMiB);
  ASSERT_NE(in_its_place.Allocate(kMiB, 1, &end), nullptr);
  in_its_place.Mark();
  EXPECT_EQ(in_its_place.Rewind(at_its_end), MarkFault::kForeign);
  EXPECT_EQ(first.Rewind(at_its_end), MarkFault::kNone);
}

// Ever more scopes one behind the other, none of which may be taken for passed.
TEST_P(RegionTest, GoodMarksStayGoodHoweverManyRewindsThereAre) {
  Region* region = Create(kMiB);
  std::vector<RegionMark> marks;
  for (int i = 0; i < 100; ++i) {
    marks.push_back(region->Mark());
    Allocate(region, 10);
    const RegionMark inner = region->Mark();
    Allocate(region, 10);
    EXPECT_EQ(region->Rewind(inner), MarkFault::kNone);
    ASSERT_TRUE(region->CheckInvariants());
  }
  for (; !marks.empty(); marks.pop_back()) {
    EXPECT_EQ(region->Rewind(marks.back()), MarkFault::kNone) << marks.size();
    EXPECT_EQ(region->Sizes().used, 10 * (marks.size() - 1));
  }
  set_.Destroy(region);
}

TEST_P(RegionTest, ResetKeepsTheMemoryAndTrimGivesItBack) {
  Region* region = Create(64 * kMiB);
  char* block = Allocate(region, 10 * kMiB);
  memset(block, 1, 10 * kMiB);
  region->Reset();
  EXPECT_EQ(set_.ResidentBytes(), 10 * kMiB);
  EXPECT_EQ(Allocate(region, 2 * kMiB), block);
  EXPECT_EQ(block[kMiB], 1);
  EXPECT_EQ(set_.Trim(region, 3 * kMiB), 7 * kMiB);
  EXPECT_EQ(set_.ResidentBytes(), 3 * kMiB);
  EXPECT_EQ(set_.Trim(region, 3 * kMiB), 0u);
  EXPECT_EQ(set_.Trim(region, SIZE_MAX), 0u);
  EXPECT_EQ(set_.Trim(region, 0), kMiB) << "what is in use stays";
  EXPECT_EQ(block[2 * kMiB - 1], 1);
  EXPECT_EQ(Allocate(region, 2 * kMiB), block + 2 * kMiB);
  EXPECT_EQ(block[2 * kMiB], 0);
  block[4 * kMiB - 1] = 1;
  memory_.RefuseAll(FakeVirtualMemory::kRelease);
  region->Reset();
  EXPECT_EQ(set_.Trim(region, 0), 0u);
  memory_.RefuseNothing();
  set_.Destroy(region);
}

TEST_P(RegionTest, SumsAreThoseOfAllRegions) {
  EXPECT_EQ(set_.Stats().regions, 0u);
  Region* first = Create(kMiB);
  Region* second = Create(3 * kMiB);
  memset(Allocate(first, 100), 1, 100);
  memset(Allocate(second, 5 * kPage), 1, 5 * kPage);
  const RegionStats stats = set_.Stats();
  EXPECT_EQ(stats.regions, 2u);
  EXPECT_EQ(stats.used, 100 + 5 * kPage);
  EXPECT_EQ(stats.reserved, 4 * kMiB);
  EXPECT_EQ(stats.committed, first->Sizes().committed + second->Sizes().committed);
  EXPECT_EQ(set_.ResidentBytes(), 6 * kPage);
  set_.Destroy(first);
  EXPECT_EQ(set_.Stats().used, 5 * kPage);
  set_.Destroy(second);
  EXPECT_EQ(set_.Stats().reserved, 0u);
  EXPECT_EQ(set_.ResidentBytes(), 0u);
}

TEST_P(RegionTest, ADestroyedRegionIsNotLive) {
  Region* region = Create(kMiB);
  EXPECT_TRUE(region->IsLive());
  EXPECT_NE(Allocate(region, 100), nullptr);
  set_.Destroy(region);
  EXPECT_FALSE(region->IsLive());
  EXPECT_EQ(region->at, region->limit) << "the inline code would allocate from it";
  for (int i = 0; i < 100; ++i) metadata_.Allocate(sizeof(Region));
  EXPECT_FALSE(region->IsLive());
  EXPECT_EQ(region->at, region->limit);
}

TEST_P(RegionTest, LargerPagesOfTheSystem) {
  memory_.SetPageSize(65536);
  Region* region = Create(kMiB + 1);
  EXPECT_EQ(region->Sizes().reserved, kMiB + 65536);
  while (char* block = Allocate(region, 3000, 8)) block[2999] = 1;
  region->Reset();
  EXPECT_GT(set_.Trim(region, 1), 0u);
  set_.Destroy(region);
}

TEST(SharedRegion, ThreadsGetDifferentBlocks) {
  FakeVirtualMemory memory;
  MetadataAllocator metadata(memory);
  RegionSet set(memory, metadata);
  Region* region = set.Create(48 * kMiB, /*shared=*/true);
  constexpr size_t kThreads = 4;
  for (int round = 0; round < 2; ++round) {
    std::atomic<size_t> bytes{0};
    std::vector<std::thread> threads;
    for (size_t number = 1; number <= kThreads; ++number) {
      threads.emplace_back([&, number] {
        std::vector<std::pair<unsigned char*, size_t>> blocks;
        for (size_t i = 0;; ++i) {
          const size_t size = 1 + i * 7919 % 700;
          const size_t alignment = size_t{1} << i % 7;
          auto* block = static_cast<unsigned char*>(set.Allocate(region, size, alignment));
          if (block == nullptr) break;
          ASSERT_EQ(Address(block) % alignment, 0u);
          memset(block, static_cast<int>(number), size);
          blocks.push_back({block, size});
          bytes.fetch_add(size);
        }
        for (const auto& [block, size] : blocks) {
          ASSERT_EQ(std::count(block, block + size, number), static_cast<ptrdiff_t>(size));
        }
      });
    }
    for (int i = 0; i < 100; ++i) {
      const RegionStats stats = set.Stats();
      EXPECT_LE(stats.used, stats.reserved);
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(bytes.load(), region->Sizes().used);
    EXPECT_GT(region->Sizes().used, 48 * kMiB - 1000);
    EXPECT_TRUE(set.CheckInvariants());
    region->Reset();
  }
  set.Destroy(region);
}

// Nothing but allocations, so that they meet.
TEST(SharedRegion, NoBlockIsGivenToTwoThreads) {
  FakeVirtualMemory memory;
  MetadataAllocator metadata(memory);
  RegionSet set(memory, metadata);
  Region* region = set.Create(8 * kMiB, /*shared=*/true);
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  std::atomic<size_t> blocks{0};
  for (uintptr_t number = 1; number <= 2; ++number) {
    threads.emplace_back([&, number] {
      std::vector<uintptr_t*> own;
      own.reserve(kMiB);
      ready.fetch_add(1);
      while (ready.load() != 2) {
      }
      while (auto* block = static_cast<uintptr_t*>(set.Allocate(region, sizeof(number), 8))) {
        *block = number;
        own.push_back(block);
      }
      for (const uintptr_t* block : own) ASSERT_EQ(*block, number);
      blocks.fetch_add(own.size());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(blocks.load(), 8 * kMiB / sizeof(uintptr_t));
  set.Destroy(region);
}

}  // namespace
}  // namespace spanmalloc

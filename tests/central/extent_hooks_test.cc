// SPDX-License-Identifier: Apache-2.0
//
// Arenas whose memory extent hooks give: which hooks are called when, with what, and what happens
// when they decline, fail or lie.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr size_t kClass = 10;
constexpr size_t kMega = size_t{1} << 20;

// A table of hooks over anonymous memory, which notes every call and what it holds.
struct Provider : ExtentHooks {
  Provider()
      : ExtentHooks{&Alloc, &Dalloc, &Destroy, &Commit, &Decommit, &Lazy, &Forced, &Split, &Merge} {
  }
  ~Provider() {
    for (const auto& [start, size] : extents) munmap(reinterpret_cast<void*>(start), size);
  }

  static Provider& Of(ExtentHooks* hooks) { return *static_cast<Provider*>(hooks); }

  // Notes a call; true if it is the one that is to fail.
  bool Note(const std::string& name, unsigned in_arena) {
    EXPECT_EQ(in_arena, arena);
    calls.push_back(name);
    if (during) during(name);
    return fail_from != 0 && calls.size() >= fail_from;
  }
  bool Decline(const std::string& name, unsigned in_arena) {
    const bool fails = Note(name, in_arena);
    return fails || declined.count(name) != 0;
  }
  void ExpectExtent(void* addr, size_t size) {
    const auto found = extents.find(reinterpret_cast<uintptr_t>(addr));
    ASSERT_NE(found, extents.end());
    EXPECT_EQ(found->second, size);
  }

  static void* Alloc(ExtentHooks* hooks, void* new_addr, size_t size, size_t alignment, bool* zero,
                     bool* commit, unsigned in_arena) {
    Provider& own = Of(hooks);
    EXPECT_EQ(new_addr, nullptr);
    EXPECT_EQ(size % kHugePageSize, 0u);
    EXPECT_GE(alignment, kHugePageSize);
    EXPECT_TRUE(*commit);
    if (own.Decline("alloc", in_arena)) return nullptr;
    if (own.answer != 0) return reinterpret_cast<void*>(own.answer);
    if (own.range != 0) {
      const uintptr_t at = RoundUp(own.range, alignment);
      if (at + size > own.range_end) return nullptr;
      own.range = at + size;
      own.extents[at] = size;
      return reinterpret_cast<void*>(at);
    }
    const size_t whole = size + alignment;
    void* mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const uintptr_t begin = reinterpret_cast<uintptr_t>(mapped);
    const uintptr_t start = RoundUp(begin, alignment) + own.shift;
    if (start != begin) munmap(mapped, start - begin);
    if (start + size != begin + whole) {
      munmap(reinterpret_cast<void*>(start + size), begin + whole - start - size);
    }
    own.extents[start] = size;
    if (own.dirties) memset(reinterpret_cast<void*>(start), 0x5a, size);
    *zero = !own.dirties;
    *commit = own.commits;
    return reinterpret_cast<void*>(start);
  }
  static bool Dalloc(ExtentHooks* hooks, void* addr, size_t size, bool, unsigned in_arena) {
    Provider& own = Of(hooks);
    if (own.Decline("dalloc", in_arena)) return true;
    own.Unmap(addr, size);
    return false;
  }
  static void Destroy(ExtentHooks* hooks, void* addr, size_t size, bool, unsigned in_arena) {
    Of(hooks).Note("destroy", in_arena);
    Of(hooks).Unmap(addr, size);
  }
  static bool Commit(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                     unsigned in_arena) {
    Provider& own = Of(hooks);
    own.ExpectExtent(addr, size);
    EXPECT_EQ(offset, 0u);
    EXPECT_EQ(length, size);
    return own.Decline("commit", in_arena);
  }
  static bool Decommit(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                       unsigned in_arena) {
    Provider& own = Of(hooks);
    own.ExpectExtent(addr, size);
    EXPECT_EQ(offset, 0u);
    EXPECT_EQ(length, size);
    if (own.Decline("decommit", in_arena)) return true;
    madvise(addr, size, MADV_DONTNEED);
    return false;
  }
  static bool PurgeAs(const char* name, ExtentHooks* hooks, void* addr, size_t size, size_t offset,
                      size_t length, unsigned in_arena) {
    Provider& own = Of(hooks);
    own.ExpectExtent(addr, size);
    EXPECT_LE(offset + length, size);
    own.purging = static_cast<char*>(addr) + offset;
    if (own.Decline(name, in_arena)) return true;
    // A lazy one leaves what it finds, or not.
    if (strcmp(name, "forced") == 0) {
      madvise(static_cast<char*>(addr) + offset, length, MADV_DONTNEED);
    } else {
      memset(static_cast<char*>(addr) + offset, 0x33, length);
    }
    return false;
  }
  static bool Lazy(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                   unsigned in_arena) {
    return PurgeAs("lazy", hooks, addr, size, offset, length, in_arena);
  }
  static bool Forced(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                     unsigned in_arena) {
    return PurgeAs("forced", hooks, addr, size, offset, length, in_arena);
  }
  static bool Split(ExtentHooks* hooks, void* addr, size_t size, size_t size_a, size_t size_b, bool,
                    unsigned in_arena) {
    Provider& own = Of(hooks);
    own.ExpectExtent(addr, size);
    EXPECT_EQ(size_a + size_b, size);
    if (own.Decline("split", in_arena)) return true;
    const auto start = reinterpret_cast<uintptr_t>(addr);
    own.extents[start] = size_a;
    own.extents[start + size_a] = size_b;
    return false;
  }
  static bool Merge(ExtentHooks* hooks, void* addr_a, size_t size_a, void* addr_b, size_t size_b,
                    bool committed, unsigned in_arena) {
    Provider& own = Of(hooks);
    own.ExpectExtent(addr_a, size_a);
    own.ExpectExtent(addr_b, size_b);
    EXPECT_EQ(static_cast<char*>(addr_a) + size_a, addr_b);
    EXPECT_EQ(committed, own.declined.count("decommit") != 0);
    if (own.Decline("merge", in_arena)) return true;
    own.extents[reinterpret_cast<uintptr_t>(addr_a)] = size_a + size_b;
    own.extents.erase(reinterpret_cast<uintptr_t>(addr_b));
    return false;
  }

  void Unmap(void* addr, size_t size) {
    ExpectExtent(addr, size);
    extents.erase(reinterpret_cast<uintptr_t>(addr));
    munmap(addr, size);
  }
  std::vector<std::string> Take() { return std::exchange(calls, {}); }
  // How often a call was made.
  size_t Count(const std::string& name) const {
    size_t count = 0;
    for (const std::string& call : calls) count += call == name;
    return count;
  }

  unsigned arena = 1;
  std::vector<std::string> calls;
  std::map<uintptr_t, size_t> extents;  // what it has given and not got back
  std::set<std::string> declined;
  size_t fail_from = 0;  // this call and all behind it fail
  std::function<void(const std::string&)> during;
  uintptr_t answer = 0;  // what alloc returns instead
  uintptr_t range = 0;   // where it returns the next extent, up to range_end, if not anywhere
  uintptr_t range_end = 0;
  void* purging = nullptr;  // what it was last asked to purge
  size_t shift = 0;         // by which what it returns isn't aligned
  bool dirties = false;
  bool commits = true;
};

using Calls = std::vector<std::string>;

class ExtentHooksTest : public testing::Test {
 protected:
  ~ExtentHooksTest() {
    EXPECT_TRUE(on_.node_heaps.CheckInvariants());
    EXPECT_TRUE(arenas_.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  unsigned Create(ExtentHooks* hooks, int64_t decay_ms = 1000) {
    unsigned index = 0;
    EXPECT_TRUE(arenas_.Create({decay_ms, 0, hooks}, &index));
    return index;
  }
  // As the slow path does.
  void* Allocate(unsigned arena, size_t size, size_t alignment = kPageSize) {
    const bool large = size > kMaxClassSize;
    const size_t c = large ? kNoSizeClass : kClass;
    void* block = arenas_.Allocate(arena, c, size, alignment, &zeroed_);
    const size_t pages = large ? PagesFor(size) : kSizeClassTable[c].pages;
    for (int i = 0; block == nullptr && i < 3; ++i) {
      if (!arenas_.Provide(arena, pages, large ? alignment : 1)) break;
      block = arenas_.Allocate(arena, c, size, alignment, &zeroed_);
    }
    return block;
  }
  void* Filled(unsigned arena, size_t size) {
    void* block = Allocate(arena, size);
    EXPECT_NE(block, nullptr);
    if (block != nullptr) memset(block, 0x77, size);
    return block;
  }
  bool Destroy(unsigned arena) { return arenas_.Destroy(arena); }

  CentralOnFakes on_;
  ArenaSet& arenas_ = on_.arenas;
  Provider provider_;
  bool zeroed_ = false;
};

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
  EXPECT_EQ(provider_.Take(), Calls(4, "alloc"));
  EXPECT_EQ(on_.node_heaps.NodeStats().large_spans, 0u);
  for (void* block : blocks) on_.FreeInArena(block);
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls(4, "dalloc"));
  EXPECT_TRUE(provider_.extents.empty());
  EXPECT_EQ(on_.node_heaps.ArenaStats(arena).mapped_pages, 0u);
  EXPECT_TRUE(Destroy(arena));
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
    if (span->CheckObject(at) == ObjectFault::kAlreadyFree) object = reinterpret_cast<void*>(at);
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

TEST_F(ExtentHooksTest, MemoryThatIsNotAlignedGoesBack) {
  provider_.shift = 4096;
  const unsigned arena = Create(&provider_);
  testing::internal::CaptureStderr();
  EXPECT_EQ(Allocate(arena, 5 * kMega), nullptr);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("isn't aligned"), std::string::npos);
  EXPECT_EQ(provider_.Take(), Calls({"alloc", "dalloc"}));
  EXPECT_TRUE(provider_.extents.empty());
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, MemoryThatIsInUseIsNotUsedTwice) {
  const unsigned arena = Create(&provider_);
  char* block = static_cast<char*>(Filled(arena, 8 * kMega));
  // Nor is what is in use, and isn't aligned, given back.
  for (const size_t offset : {size_t{0}, 2 * kMega, size_t{4096}, 8 * kMega - 4096}) {
    provider_.answer = reinterpret_cast<uintptr_t>(block) + offset;
    testing::internal::CaptureStderr();
    EXPECT_EQ(Allocate(arena, 5 * kMega), nullptr);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("in use"), std::string::npos);
  }
  EXPECT_EQ(provider_.Take(), Calls(5, "alloc"));
  provider_.answer = 0;
  for (size_t i = 0; i < 8 * kMega; i += 4096) EXPECT_EQ(block[i], 0x77);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, MemoryWhosePlaceIsTakenGoesBack) {
  const unsigned arena = Create(&provider_);
  provider_.declined = {"dalloc"};
  // Memory of the heap's own; a place outside of what tables cover; the end of a 4 TiB block.
  const uintptr_t heap = on_.page_heap.base();
  for (const uintptr_t taken : {heap, heap ^ (uintptr_t{1} << 45),
                                (uintptr_t{3} << 42) - kHugePageSize, ~uintptr_t{0} << 42}) {
    provider_.answer = taken;
    provider_.extents[taken] = 6 * kMega;
    EXPECT_EQ(Allocate(arena, 5 * kMega), nullptr);
    EXPECT_EQ(provider_.Take(), Calls({"alloc", "dalloc", "destroy"}));
  }
  EXPECT_EQ(on_.node_heaps.refused_extents(), 4u);
  EXPECT_TRUE(provider_.extents.empty());
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, TheHeapGrowsAroundPlacesThatAreTaken) {
  const unsigned arena = Create(&provider_);
  // What lies at the place that the heap would grow to next, in another block.
  const PageHeapStats stats = on_.node_heaps.NodeStats();
  const uintptr_t end = on_.page_heap.base() + stats.mapped_pages * kPageSize;
  const uintptr_t alias = (end & (kWindowSize - 1)) + (uintptr_t{9} << kWindowShift);
  if (mmap(reinterpret_cast<void*>(alias), 4 * kMega, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED) {
    Destroy(arena);
    GTEST_SKIP() << "nothing can be mapped there, as under tsan";
  }
  provider_.answer = alias;
  provider_.extents[alias] = 4 * kMega;
  void* foreign = Filled(arena, 4 * kMega);
  ASSERT_EQ(reinterpret_cast<uintptr_t>(foreign), alias);
  std::vector<Span*> spans;
  for (int i = 0; i < 20; ++i) {
    Span* span = on_.node_heaps.AllocateLarge(3 * kPagesPerHugePage, 1);
    ASSERT_NE(span, nullptr);
    EXPECT_EQ(on_.page_map.SpanOf(reinterpret_cast<void*>(span->start)), span);
    EXPECT_EQ(on_.page_map.SpanOf(foreign)->start, alias);
    spans.push_back(span);
  }
  EXPECT_EQ(on_.page_map.SpanOf(reinterpret_cast<void*>(end)), nullptr);
  EXPECT_EQ(static_cast<char*>(foreign)[kMega], 0x77);
  EXPECT_EQ(on_.node_heaps.MissingFault(static_cast<char*>(foreign) + 5 * kMega),
            Fault::kNotABlock);
  EXPECT_EQ(on_.node_heaps.MissingFault(foreign), Fault::kDoubleFree);
  EXPECT_TRUE(Destroy(arena));
}

// Each call fails in turn, and all behind it: nothing is lost, and nothing used that isn't there.
TEST_F(ExtentHooksTest, EveryCallMayFail) {
  for (size_t n = 1; n < 40; ++n) {
    Provider provider;
    const unsigned arena = Create(&provider);
    provider.arena = arena;
    provider.commits = n % 2 == 0;
    provider.fail_from = n;
    std::vector<void*> blocks;
    for (size_t i = 0; i < 12; ++i) {
      const size_t size = i % 3 == 0 ? 64 : (1 + i % 4) * 2 * kMega;
      void* block = Allocate(arena, size);
      if (block == nullptr) continue;
      memset(block, 0x77, size);
      blocks.push_back(block);
      if (i % 4 == 3) {
        on_.FreeInArena(blocks.front());
        blocks.erase(blocks.begin());
        arenas_.Purge(arena);
      }
    }
    const bool failed = provider.calls.size() >= n;
    EXPECT_TRUE(on_.node_heaps.CheckInvariants());
    for (void* block : blocks) on_.FreeInArena(block);
    arenas_.Purge(arena);
    EXPECT_TRUE(Destroy(arena));
    EXPECT_TRUE(provider.extents.empty()) << "after call " << n << (failed ? "" : " of fewer");
  }
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
  on_.node_heaps.HoldHooks(0);
  EXPECT_TRUE(left);
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

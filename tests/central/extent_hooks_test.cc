// SPDX-License-Identifier: Apache-2.0
//
// Arenas whose memory extent hooks give: which hooks are called when, with what, and what happens
// when they decline, fail or lie.
#include <sys/mman.h>

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
  static bool Merge(ExtentHooks*, void*, size_t, void*, size_t, bool, unsigned) {
    ADD_FAILURE() << "merge is never called";
    return true;
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
  size_t shift = 0;      // by which what it returns isn't aligned
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
  void Free(void* block) {
    Span* span = on_.page_map.SpanOf(block);
    ASSERT_NE(span, nullptr);
    if (span->size_class != kNoSizeClass) {
      arenas_.Free(span, block);
    } else {
      EXPECT_EQ(on_.node_heaps.FreeLarge(block), LargeFault::kNone);
    }
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
  for (void* block : blocks) Free(block);
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls(4, "dalloc"));
  EXPECT_TRUE(provider_.extents.empty());
  EXPECT_EQ(on_.node_heaps.ArenaStats(arena).mapped_pages, 0u);
  EXPECT_TRUE(Destroy(arena));
}

TEST_F(ExtentHooksTest, WhatIsDeclinedIsOfferedToTheNextHook) {
  const unsigned arena = Create(&provider_);
  const auto purged_with = [&](std::set<std::string> declined) {
    Free(Filled(arena, 5 * kMega));
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
  Free(second);
  provider_.declined = {"split"};
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"alloc", "split", "forced"}));
  void* small = Filled(arena, 64);
  Free(first);
  provider_.Take();
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"split", "forced"}));
  Free(small);
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
  Free(block);
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
  Free(block);
  arenas_.Purge(arena);
  EXPECT_EQ(on_.node_heaps.ArenaStats(arena).mapped_pages, 0u);
  provider_.Take();
  EXPECT_EQ(Allocate(arena, 5 * kMega), block);
  EXPECT_TRUE(zeroed_);
  EXPECT_EQ(provider_.Take(), Calls({"commit"}));
  Free(block);
  arenas_.Purge(arena);
  provider_.declined = {"dalloc", "commit"};
  void* other = Filled(arena, 4 * kMega);
  EXPECT_EQ(provider_.Take(), Calls({"dalloc", "decommit", "commit", "alloc"}));
  Free(other);
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
  Free(Filled(arena, 5 * kMega));
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
  Free(Filled(arena, 10 * kMega));  // one extent of five huge pages
  for (void*& block : blocks) block = Filled(arena, 2 * kMega);
  EXPECT_EQ(provider_.Count("alloc"), 1u);
  Free(blocks[1]);
  Free(blocks[2]);
  provider_.declined = {"split"};
  provider_.Take();
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"split", "forced"}));
  Free(Filled(arena, 2 * kMega));
  provider_.declined = {};
  provider_.Take();
  arenas_.Purge(arena);
  EXPECT_EQ(provider_.Take(), Calls({"split", "split", "dalloc"}));
  EXPECT_EQ(provider_.extents.size(), 2u);
  for (int i : {0, 3, 4}) {
    EXPECT_EQ(static_cast<char*>(blocks[i])[kMega], 0x77);
    Free(blocks[i]);
  }
  EXPECT_TRUE(Destroy(arena));
  EXPECT_TRUE(provider_.extents.empty());
}

TEST_F(ExtentHooksTest, BlocksNeverReachFromOneExtentIntoTheNext) {
  const unsigned arena = Create(&provider_);
  provider_.declined = {"dalloc", "decommit", "forced", "lazy"};
  // Neighbours in the address space.
  const size_t size = 16 * kMega;
  char* memory = static_cast<char*>(
      mmap(nullptr, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const uintptr_t start = RoundUp(reinterpret_cast<uintptr_t>(memory), kHugePageSize);
  std::vector<void*> blocks;
  for (int i = 0; i < 4; ++i) {
    provider_.answer = start + static_cast<size_t>(i) * 2 * kMega;
    provider_.extents[provider_.answer] = 2 * kMega;
    blocks.push_back(Filled(arena, 2 * kMega));
  }
  for (void* block : blocks) Free(block);
  provider_.answer = 0;
  void* block = Filled(arena, 6 * kMega);
  EXPECT_EQ(provider_.Count("alloc"), 5u) << "an extent of its own";
  EXPECT_EQ(provider_.extents.count(reinterpret_cast<uintptr_t>(block)), 1u);
  arenas_.Purge(arena);
  provider_.declined = {};
  EXPECT_TRUE(Destroy(arena));
  EXPECT_TRUE(provider_.extents.empty());
  munmap(memory, 2 * size);
}

TEST_F(ExtentHooksTest, MemoryGoesBackAfterTheDecayTime) {
  const unsigned arena = Create(&provider_, 1000);
  void* block = Filled(arena, 10 * kMega);
  on_.clock.Advance(1);
  arenas_.Decay(arena, on_.clock.NowMs());
  Free(block);
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
  Free(Filled(arena, 5 * kMega));
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
  Free(borrowed);
  Free(own);
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
  for (const size_t offset : {size_t{0}, 2 * kMega}) {
    provider_.answer = reinterpret_cast<uintptr_t>(block) + offset;
    testing::internal::CaptureStderr();
    EXPECT_EQ(Allocate(arena, 5 * kMega), nullptr);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("in use"), std::string::npos);
  }
  EXPECT_EQ(provider_.Take(), Calls(3, "alloc"));
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
        Free(blocks.front());
        blocks.erase(blocks.begin());
        arenas_.Purge(arena);
      }
    }
    const bool failed = provider.calls.size() >= n;
    EXPECT_TRUE(on_.node_heaps.CheckInvariants());
    for (void* block : blocks) Free(block);
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
  Free(block);
  provider_.declined = {"dalloc", "decommit", "forced", "lazy"};
  arenas_.Purge(arena);
  EXPECT_TRUE(Destroy(arena));
  EXPECT_EQ(seen, 10u);
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

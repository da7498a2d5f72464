// SPDX-License-Identifier: Apache-2.0
//
// Extent hooks that fail, or give memory that can't be used: nothing is lost, and nothing is used
// twice.
#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/extent_hooks_on_fakes.h"

namespace spanmalloc {
namespace {

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

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// A page heap on the real kernel, told in turn that transparent huge pages come nowhere, where they
// are asked for, and everywhere: it gets them in the same places, if at all.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/page_heap.h"
#include "allocator/heap/page_map.h"
#include "allocator/os/clock.h"
#include "allocator/os/virtual_memory.h"
#include "gtest/gtest.h"
#include "tests/support/huge_page_settings.h"

namespace spanmalloc {
namespace {

// A kernel that finds huge pages at once, whatever the machine is busy with.
class PromptKernel : public os::KernelMemory {
 public:
  using os::KernelMemory::KernelMemory;
  uint64_t TouchNs(void* address) override {
    KernelMemory::TouchNs(address);
    return 0;
  }
};

struct HeapOnKernel {
  explicit HeapOnKernel(const char* settings) : memory(settings) {
    EXPECT_TRUE(page_map.Init(kWindowSize));
    // As the runtime does: in a block of 4 TiB, where nothing else is.
    bool placed = false;
    for (uintptr_t i = 0; i < 64 && !placed; ++i) {
      const uintptr_t block = (uintptr_t{1} << kHeapAddressBit) + i * kWindowSize;
      placed = page_heap.Init(block + kHugePageSize, block + kWindowSize);
    }
    EXPECT_TRUE(placed);
  }

  PromptKernel memory;
  os::MonotonicClock clock;
  MetadataAllocator metadata{memory};
  PageMap page_map{memory};
  PageHeap page_heap{memory, clock, metadata, page_map};
};

struct Picture {
  std::vector<bool> asked;  // of each huge page, by address
  std::vector<bool> declined;
};

// What the kernel is told about a heap that was filled densely, with a sparse end.
Picture PictureOf(const char* enabled, HugePageWish wish) {
  const HugePageSettings settings(enabled, "2097152");
  auto heap = std::make_unique<HeapOnKernel>(settings.folder());
  heap->page_heap.SetHugePageWish(wish);
  Picture picture;
  Span* last = nullptr;
  for (size_t i = 0; i < 60; ++i) {
    last = heap->page_heap.AllocateLarge(kPagesPerHugePage - 1, kPageSize);
    memset(reinterpret_cast<void*>(last->start), 1, i < 56 ? last->bytes() : kPageSize);
    const auto* start = reinterpret_cast<const void*>(last->start);
    picture.asked.push_back(IsAsked(start));
    picture.declined.push_back(IsDeclined(start));
  }
  EXPECT_TRUE(heap->page_heap.CheckInvariants());
  return picture;
}

TEST(HugePageModesTest, TheHeapIsAlikeWhateverTheSetting) {
  const Picture nowhere = PictureOf("always madvise [never]", HugePageWish::kOnEvidence);
  if (FlagsOf(&nowhere).empty()) GTEST_SKIP() << "no /proc/self/smaps";
  const Picture asked = PictureOf("always [madvise] never", HugePageWish::kOnEvidence);
  const Picture everywhere = PictureOf("[always] madvise never", HugePageWish::kOnEvidence);
  EXPECT_EQ(std::count(nowhere.asked.begin(), nowhere.asked.end(), true), 0);
  EXPECT_GT(std::count(asked.asked.begin(), asked.asked.end(), true), 10);
  EXPECT_EQ(asked.asked, everywhere.asked);
  for (size_t i = 0; i < everywhere.asked.size(); ++i) {
    EXPECT_NE(everywhere.asked[i], everywhere.declined[i]) << "huge page " << i;
  }
}

TEST(HugePageModesTest, WhoWantsNoneGetsNoneAnywhere) {
  const Picture everywhere = PictureOf("[always] madvise never", HugePageWish::kNever);
  if (FlagsOf(&everywhere).empty()) GTEST_SKIP() << "no /proc/self/smaps";
  EXPECT_EQ(std::count(everywhere.declined.begin(), everywhere.declined.end(), false), 0);
}

}  // namespace
}  // namespace spanmalloc

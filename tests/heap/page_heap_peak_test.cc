// SPDX-License-Identifier: Apache-2.0
//
// Where the page heap would hold more than it ever did: which spans wait until caches have given
// back whole ones, and how often, in a process with one thread.
#include <cstddef>
#include <thread>
#include <vector>

#include "allocator/heap/page_heap.h"
#include "allocator/os/ranked_lock.h"
#include "gtest/gtest.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {
namespace {

// A span of the kind that a central list asks for, whose caches are to be asked first.
class PageHeapPeakTest : public testing::Test {
 protected:
  static constexpr SizeClass kClass = 6;
  static constexpr size_t kFloor = ReleasePolicy::kFloorPages;

  // No test but the last may start a thread. (A sanitizer's runtime may have one.)
  void SetUp() override {
    if (!os::RankedLock::Alone()) GTEST_SKIP() << "the process has several threads";
  }
  ~PageHeapPeakTest() { EXPECT_TRUE(page_heap_.CheckInvariants()); }

  Span* Shared(SizeClass c) { return page_heap_.AllocateShared(c, InPageMap::kYes); }
  Span* Ask() { return page_heap_.AllocateShared(kClass, InPageMap::kYes, AtPeak::kAskFirst); }
  size_t Peak() { return page_heap_.PeakPages(); }
  void GrowTo(size_t pages) {
    while (Peak() < pages) Shared(kClass);
  }

  HeapOnFakes heap_;
  PageHeap& page_heap_ = heap_.page_heap;
};

TEST_F(PageHeapPeakTest, CachesAreAskedOnceForEachStepThatThePeakRisesBy) {
  GrowTo(2 * kFloor);
  size_t asked = 0;
  const size_t before = Peak();
  while (Peak() < before + 512 && asked < 512) asked += Ask() == nullptr;
  EXPECT_GE(asked, 512u / 10);
  EXPECT_LE(asked, 512u / 8 + 1);
  GrowTo(64 * kFloor);
  const size_t later = Peak();
  asked = 0;
  while (Peak() < later + 2048 && asked < 2048) asked += Ask() == nullptr;
  EXPECT_LE(asked, 2048u / (64 * kFloor / 256) + 1) << "of a large heap a share";
  EXPECT_GE(asked, 8u);
}

TEST_F(PageHeapPeakTest, TheFirstFourMebibytesAskNobody) {
  while (Peak() < kFloor) ASSERT_NE(Ask(), nullptr);
}

TEST_F(PageHeapPeakTest, WhoDoesNotSaySoIsNeverRefused) {
  while (Peak() < 4 * kFloor) ASSERT_NE(Shared(kClass), nullptr);
}

TEST_F(PageHeapPeakTest, DirtyPagesAndRoomBelowThePeakDoNotAsk) {
  std::vector<Span*> spans;
  while (Peak() < 4 * kFloor) spans.push_back(Shared(kClass));
  for (size_t i = 0; i < spans.size(); i += 2) page_heap_.FreeShared(spans[i]);
  for (size_t i = 0; i < spans.size(); i += 2) ASSERT_NE(Ask(), nullptr) << i;
  size_t made = 0;
  while (Ask() != nullptr && made < 2 * kFloor) ++made;
  EXPECT_LT(made, 2 * kFloor);
  EXPECT_NE(Ask(), nullptr) << "asked already";
}

TEST_F(PageHeapPeakTest, NobodyIsAskedWhereAllIsKept) {
  GrowTo(2 * kFloor);
  page_heap_.SetDecay(-1);
  for (size_t i = 0; i < kFloor; ++i) ASSERT_NE(Ask(), nullptr);
}

TEST_F(PageHeapPeakTest, LargeSpansAskAsWell) {
  GrowTo(2 * kFloor);
  size_t asked = 0;
  const size_t before = Peak();
  while (Peak() < before + 1024 && asked < 1024) {
    asked += page_heap_.AllocateLarge(40, kPageSize, AtPeak::kAskFirst) == nullptr;
  }
  EXPECT_GE(asked, 1024u / 50);
}

// The last test: the C library doesn't forget that there were two.
TEST_F(PageHeapPeakTest, NobodyIsAskedInAProcessWithSeveralThreads) {
  GrowTo(2 * kFloor);
  std::thread([] {}).join();
  if (os::RankedLock::Alone()) GTEST_SKIP() << "forgotten";
  while (Peak() < 4 * kFloor) ASSERT_NE(Ask(), nullptr);
}

}  // namespace
}  // namespace spanmalloc

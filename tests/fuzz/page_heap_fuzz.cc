// SPDX-License-Identifier: Apache-2.0
//
// The page heap under random calls, with a kernel that refuses some of them, against a map of the
// spans that are out and of what is written in them.
#include <cstdint>
#include <map>

#include "gtest/gtest.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/heap_on_fakes.h"

namespace spanmalloc {
namespace {

using Call = FakeVirtualMemory::Call;

constexpr size_t kArenaBytes = size_t{1} << 30;
constexpr int kSteps = 1500;

// One word is written on every page; `mark` tells the span's words from all others'.
struct Held {
  Span* span;
  uint64_t mark;
};

class PageHeapFuzz {
 public:
  PageHeapFuzz(Choices& choices, size_t page_size)
      : choices_(choices), heap_(kArenaBytes, page_size) {
    heap_.memory.GiveHugePages();
    page_heap_.SetHugePageWish(choices.OneIn(2) ? HugePageWish::kAlways
                                                : HugePageWish::kOnEvidence);
  }

  void Run() {
    for (int step = 0; step < kSteps && !testing::Test::HasFailure(); ++step) {
      Step();
      if (step % 16 == 0) Check();
    }
    while (!held_.empty()) Free(held_.begin());
    Check();
    EXPECT_EQ(page_heap_.Stats().large_pages, 0u);
    EXPECT_EQ(page_heap_.Stats().span_pages, lost_pages_);
  }

 private:
  using Iterator = std::map<uintptr_t, Held>::iterator;

  static uint64_t& Word(uintptr_t start, size_t page) {
    return *reinterpret_cast<uint64_t*>(start + page * kPageSize + 64);
  }

  void Step() {
    heap_.clock.Advance(choices_.Below(20));
    heap_.memory.RefuseNothing();
    if (choices_.OneIn(12)) {
      heap_.memory.Refuse(static_cast<Call>(choices_.Below(FakeVirtualMemory::kCallKinds)),
                          1 + choices_.Below(3), 1 + choices_.Below(4));
    }
    const size_t choice = choices_.Below(100);
    if (choice < 25) {
      AllocateShared();
    } else if (choice < 30) {
      AllocateGrowing();
    } else if (choice < 45 || held_.empty()) {
      AllocateLarge(kPageSize << choices_.Below(12));
    } else if (choice < 80) {
      Free(choices_.Pick(held_));
    } else if (choice < 86) {
      Grow(choices_.Pick(held_));
    } else if (choice < 91) {
      Shrink(choices_.Pick(held_));
    } else if (choice < 95) {
      Move(choices_.Pick(held_));
    } else if (choice < 96) {
      ReturnReserve(choices_.Pick(held_));
    } else if (choice < 97) {
      page_heap_.Release(choices_.Magnitude(100000));
    } else if (choice < 98) {
      page_heap_.ReleaseExcess(heap_.clock.NowMs());
    } else if (choice < 99) {
      SetLimits();
    } else {
      page_heap_.ReclaimForRetry();
    }
  }

  void Fill(Held& held, size_t first_page) {
    for (size_t i = first_page; i < held.span->pages; ++i) {
      Word(held.span->start, i) = held.mark + i;
    }
  }

  void Add(Span* span) {
    const uintptr_t start = span->start;
    const auto after = held_.lower_bound(start);
    if (after != held_.end()) {
      ASSERT_LE(start + span->bytes(), after->first);
    }
    if (after != held_.begin()) {
      const Span* before = std::prev(after)->second.span;
      ASSERT_LE(before->start + before->bytes(), start);
    }
    ASSERT_TRUE(heap_.memory.IsAll(FakeVirtualMemory::State::kMapped,
                                   reinterpret_cast<void*>(start), span->bytes()));
    for (size_t i = 0; span->zeroed && i < span->pages; ++i) {
      ASSERT_EQ(Word(start, i), 0u) << "page " << i << " of a span called zero";
    }
    Held& held = held_[start] = {span, next_mark_ += uint64_t{1} << 32};
    Fill(held, 0);
  }

  void AllocateShared() {
    const auto c = static_cast<SizeClass>(1 + choices_.Below(kSizeClasses));
    const auto in_map = choices_.OneIn(5) ? InPageMap::kNo : InPageMap::kYes;
    Span* span = page_heap_.AllocateShared(c, in_map);
    if (span == nullptr) return;
    const SizeClass shown = in_map == InPageMap::kYes ? c : kNoSizeClass;
    EXPECT_EQ(heap_.page_map.ClassOf(reinterpret_cast<void*>(span->start)), shown);
    Add(span);
  }

  void AllocateLarge(size_t alignment) {
    Span* span = page_heap_.AllocateLarge(choices_.Magnitude(2000), alignment);
    if (span == nullptr) return;
    EXPECT_EQ(span->start % alignment, 0u);
    Add(span);
  }

  const void* AnyGrower() { return &growers_[choices_.Below(2)]; }

  void AllocateGrowing() {
    const void* grower = AnyGrower();
    Span* span = page_heap_.AllocateGrowing(choices_.Magnitude(400), grower);
    if (span == nullptr) return;
    EXPECT_TRUE(span->reserve == 0 || span->grower == grower);
    Add(span);
  }

  void ReturnReserve(Iterator it) {
    const void* grower = AnyGrower();
    const Span* span = it->second.span;
    const bool has = span->state == SpanState::kLarge && span->grower == grower;
    page_heap_.ReturnReserve(reinterpret_cast<void*>(it->first), grower);
    EXPECT_TRUE(!has || span->reserve == 0);
    CheckContents(it->second, it->second.span->pages);
  }

  void CheckContents(const Held& held, size_t pages) {
    for (size_t i = 0; i < pages; ++i) ASSERT_EQ(Word(held.span->start, i), held.mark + i);
  }

  void Free(Iterator it) {
    Span* span = it->second.span;
    const auto start = reinterpret_cast<char*>(it->first);
    CheckContents(it->second, span->pages);
    if (span->state == SpanState::kLarge) {
      EXPECT_EQ(page_heap_.FreeLarge(start + 1 + choices_.Below(span->bytes() - 1)),
                LargeFault::kInterior);
      EXPECT_EQ(page_heap_.FreeLarge(start), LargeFault::kNone);
    } else {
      EXPECT_EQ(page_heap_.FreeLarge(start), LargeFault::kNoBlock);
      page_heap_.FreeShared(span);
    }
    EXPECT_EQ(heap_.page_map.SpanOf(start), nullptr);
    EXPECT_EQ(page_heap_.FreeLarge(start), LargeFault::kNoBlock);
    held_.erase(it);
  }

  void Grow(Iterator it) {
    Span* span = it->second.span;
    if (span->state != SpanState::kLarge) return;
    const size_t pages = span->pages;
    const size_t wish = pages + choices_.Magnitude(span->reserve != 0 ? 2 * span->reserve : 600);
    const void* grower = choices_.OneIn(2) ? AnyGrower() : nullptr;
    const bool has_reserve = grower == span->grower && wish <= pages + span->reserve;
    const bool grown = span->GrowIntoReserve(wish, grower);
    ASSERT_EQ(grown, has_reserve && grower != nullptr);
    if (grown || page_heap_.GrowLarge(span, wish, grower)) {
      ASSERT_EQ(span->pages, wish);
      Fill(it->second, pages);
    } else {
      ASSERT_EQ(span->pages, pages);
    }
    CheckContents(it->second, pages);
  }

  void Shrink(Iterator it) {
    Span* span = it->second.span;
    if (span->state != SpanState::kLarge || span->pages == 1) return;
    const size_t kept = 1 + choices_.Below(span->pages - 1);
    page_heap_.ShrinkLarge(span, kept);
    ASSERT_EQ(span->pages, kept);
    CheckContents(it->second, kept);
  }

  // As realloc does: a longer span, the pages moved there, the old span freed.
  void Move(Iterator it) {
    Span* from = it->second.span;
    if (from->state != SpanState::kLarge) return;
    const size_t pages = from->pages;
    Span* to = page_heap_.AllocateLarge(pages + choices_.Magnitude(100), kPageSize);
    if (to == nullptr) return;
    const bool in_cut_page = from->huge_pages == 0;
    const auto place = reinterpret_cast<void*>(from->start);
    const Held old = it->second;
    if (!page_heap_.MoveLarge(from, to)) {
      CheckContents(old, pages);
      EXPECT_EQ(page_heap_.FreeLarge(reinterpret_cast<void*>(to->start)), LargeFault::kNone);
      return;
    }
    held_.erase(it);
    if (heap_.page_map.SpanOf(place) == nullptr) {
      // The kernel gave nothing for the place the pages came from: it is lost.
      if (in_cut_page) lost_pages_ += pages;
    } else {
      EXPECT_EQ(page_heap_.FreeLarge(place), LargeFault::kNone);
    }
    Held& held = held_[to->start] = {to, old.mark};
    CheckContents(held, pages);
    Fill(held, pages);
  }

  // Around what is held now.
  void SetLimits() {
    const size_t held = page_heap_.HeldPages();
    const size_t notice = choices_.OneIn(2) ? PageHeap::kNoLimit : held + choices_.Magnitude(1000);
    const size_t refuse =
        choices_.OneIn(3) ? PageHeap::kNoLimit : held / 2 + choices_.Below(held + 1000);
    page_heap_.SetLimits(notice, refuse);
    const size_t used = page_heap_.Stats().span_pages;
    most_used_ = refuse > used ? refuse : used;
  }

  void Check() {
    ASSERT_TRUE(page_heap_.CheckInvariants());
    size_t pages = lost_pages_;
    size_t large = 0;
    for (const auto& [start, held] : held_) {
      const bool is_large = held.span->state == SpanState::kLarge;
      pages += held.span->pages + (is_large ? held.span->reserve : 0);
      large += is_large;
      ASSERT_EQ(heap_.page_map.SpanOf(reinterpret_cast<void*>(start)), held.span);
    }
    const PageHeapStats stats = page_heap_.Stats();
    ASSERT_EQ(stats.span_pages, pages);
    ASSERT_LE(stats.span_pages, most_used_);
    ASSERT_EQ(stats.large_spans, large);
    ASSERT_EQ(stats.mapped_pages, stats.span_pages + stats.dirty_pages + stats.clean_pages);
    // A lost place of a cut huge page is counted as mapped for ever.
    ASSERT_GE(stats.mapped_pages * kPageSize, heap_.memory.mapped_in_arena());
    ASSERT_LE(stats.mapped_pages * kPageSize,
              heap_.memory.mapped_in_arena() + lost_pages_ * kPageSize);
  }

  Choices& choices_;
  HeapOnFakes heap_;
  PageHeap& page_heap_ = heap_.page_heap;
  const int growers_[2] = {};
  std::map<uintptr_t, Held> held_;
  uint64_t next_mark_ = 0;
  size_t lost_pages_ = 0;
  size_t most_used_ = PageHeap::kNoLimit;  // with the limit that was set last
};

TEST(PageHeapFuzz, RandomCallsAgreeWithTheModel) {
  ForEachSeed(4, [](Choices& choices) { PageHeapFuzz(choices, 4096).Run(); });
}

TEST(PageHeapFuzz, LargerPagesOfTheSystem) {
  ForEachSeed(2, [](Choices& choices) { PageHeapFuzz(choices, 16384).Run(); });
  ForEachSeed(2, [](Choices& choices) { PageHeapFuzz(choices, 65536).Run(); });
}

}  // namespace
}  // namespace spanmalloc

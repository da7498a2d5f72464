// SPDX-License-Identifier: Apache-2.0
//
// The central floor under random batches, bad pointers among them, from shards of several CPUs, on
// machines of one node and of three, against a map of the objects that are out.
#include <cstdint>
#include <map>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/pin_to_cpu.h"

namespace spanmalloc {
namespace {

constexpr int kSteps = 3000;
constexpr size_t kMaxLiveBytes = size_t{4} << 20;  // of one class

class CentralFuzz {
 public:
  explicit CentralFuzz(Choices& choices)
      : choices_(choices), on_(size_t{4} << 30, choices.OneIn(2) ? "0" : "0-2") {}

  void Run() {
    for (int step = 0; step < kSteps && !testing::Test::HasFailure(); ++step) {
      Step();
      EXPECT_EQ(FaultLog::Take().size(), 0u) << "a good object was reported";
      if (step % 32 == 0) Check();
    }
    on_.memory.RefuseNothing();
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      while (!live_[c].empty()) Insert(c, 64);
    }
    Check();
    central_.Drain();
    EXPECT_EQ(on_.node_heaps.Stats().span_pages, 0u);
    EXPECT_TRUE(FaultLog::Take().empty());
  }

 private:
  void Step() {
    // Most steps with few classes, so that lists fill up.
    const size_t c =
        choices_.OneIn(4) ? 1 + choices_.Below(kSizeClasses) : 1 + choices_.Below(4) * 20;
    const PinToCpu pin(static_cast<int>(choices_.Below(2)));
    FakeNodeFacts::cpu = static_cast<uint32_t>(choices_.Below(3));
    on_.memory.RefuseNothing();
    if (choices_.OneIn(20)) {
      on_.memory.RefuseAll(choices_.OneIn(2) ? FakeVirtualMemory::kMap : FakeVirtualMemory::kMapAt);
    }
    const size_t choice = choices_.Below(100);
    const size_t batch = choices_.Magnitude(PerCpuCentral::kMaxBatch);
    if (choice < 48 && live_[c].size() * kSizeClassTable[c].size < kMaxLiveBytes) {
      Remove(c, batch);
    } else if (choice < 70) {
      Insert(c, batch * 8);
    } else if (choice < 88) {
      InsertInSpans(c, batch);
    } else if (choice < 94) {
      BadPointers(c);
    } else if (choice < 98) {
      choices_.OneIn(2) ? central_.ReturnIdle() : central_.TickSpans();
    } else if (choice < 99) {
      central_.Drain();
    } else {
      on_.node_heaps.Release(choices_.Magnitude(10000));
    }
  }

  void Remove(size_t c, size_t batch) {
    void* out[PerCpuCentral::kMaxBatch];
    bool zeroed = false;
    const size_t got = central_.Remove(static_cast<SizeClass>(c), out, batch, &zeroed);
    ASSERT_LE(got, batch);
    const size_t words = kSizeClassTable[c].size / sizeof(uint64_t);
    for (size_t i = 0; i < got; ++i) {
      auto* object = static_cast<uint64_t*>(out[i]);
      for (size_t w = 0; zeroed && w < words; ++w) ASSERT_EQ(object[w], 0u);
      ASSERT_TRUE(live_[c].emplace(object, ++mark_).second) << "handed out twice";
      borrowed_ = borrowed_ || OwnClass(object) != c;
      object[0] = object[words - 1] = mark_;
    }
  }

  // The class that an object was cut for, which may be another than it was given out for.
  SizeClass OwnClass(void* object) { return on_.page_map.SpanOf(object)->size_class; }

  // Of a batch, frees some of those that were borrowed as what they are: frees without a size do.
  void InsertBorrowed(size_t c, std::vector<void*>* batch) {
    std::erase_if(*batch, [this, c](void* object) {
      const SizeClass own = OwnClass(object);
      if (own == c || choices_.OneIn(2)) return false;
      central_.Insert(own, &object, 1);
      return true;
    });
  }

  // Up to `count` live objects, checked, no longer live.
  std::vector<void*> TakeLive(size_t c, size_t count) {
    std::vector<void*> batch;
    const size_t words = kSizeClassTable[c].size / sizeof(uint64_t);
    while (batch.size() < count && !live_[c].empty()) {
      auto it = live_[c].begin();
      std::advance(it, choices_.Below(live_[c].size() < 50 ? live_[c].size() : 50));
      EXPECT_EQ(it->first[0], it->second);
      EXPECT_EQ(it->first[words - 1], it->second);
      batch.push_back(it->first);
      live_[c].erase(it);
    }
    return batch;
  }

  void Insert(size_t c, size_t count) {
    std::vector<void*> batch = TakeLive(c, count);
    InsertBorrowed(c, &batch);
    if (!batch.empty()) central_.Insert(static_cast<SizeClass>(c), batch.data(), batch.size());
  }

  void InsertInSpans(size_t c, size_t count) {
    std::vector<void*> batch = TakeLive(c, count);
    central_.InsertInSpans(static_cast<SizeClass>(c), batch.data(), batch.size());
  }

  // A batch of good objects with one bad pointer somewhere: it alone is reported.
  void BadPointers(size_t c) {
    std::vector<void*> batch = TakeLive(c, 1 + choices_.Below(20));
    if (batch.empty()) return;
    const size_t size = kSizeClassTable[c].size;
    auto* good = static_cast<char*>(*choices_.Pick(batch));
    Fault expected = Fault::kDoubleFree;
    void* bad = good;
    alignas(16) static char foreign[16];
    switch (choices_.Below(size > kMinAlignment ? 4 : 3)) {
      case 0:
        break;
      case 1:
        bad = foreign;
        expected = Fault::kNotABlock;
        break;
      case 2:
        bad = good + choices_.Below(size / 16) * 16 + 1 + choices_.Below(15);
        expected = Fault::kMisaligned;
        break;
      default:
        bad = good + 16 * (1 + choices_.Below(size / 16 - 1));
        expected = Fault::kInterior;
        break;
    }
    // A copy is at the end, so that it is the second one.
    if (expected == Fault::kDoubleFree) {
      batch.push_back(bad);
    } else {
      batch.insert(choices_.Pick(batch), bad);
    }
    central_.InsertInSpans(static_cast<SizeClass>(c), batch.data(), batch.size());
    const std::vector<BadPointer> faults = FaultLog::Take();
    ASSERT_EQ(faults.size(), 1u);
    EXPECT_EQ(faults[0].pointer, bad);
    // With its span gone, nothing more is known of a pointer into it than that it is free.
    if (faults[0].fault != Fault::kDoubleFree) {
      EXPECT_EQ(faults[0].fault, expected);
    } else {
      EXPECT_NE(expected, Fault::kNotABlock);
    }
    // It was counted as returned; so it was once too often, by the program.
    ++reported_[c];
  }

  void Check() {
    ASSERT_TRUE(central_.CheckInvariants());
    ASSERT_TRUE(on_.node_heaps.CheckInvariants());
    uint64_t out = 0;   // by the counts, of all classes
    uint64_t live = 0;  // and by the model
    uint64_t cut = 0;   // objects in all spans
    uint64_t free = 0;  // and those that are free
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      const CentralFreeListStats stats = central_.Stats(static_cast<SizeClass>(c));
      out += stats.taken - stats.returned + reported_[c];
      live += live_[c].size();
      cut += stats.spans * ShapeOf(c).objects;
      free += stats.array_objects + stats.span_objects;
      // Until a class borrows from another, they agree for each.
      if (!borrowed_) {
        ASSERT_EQ(out, live) << c;
        ASSERT_EQ(cut, live + free) << c;
      }
    }
    ASSERT_EQ(out, live);
    ASSERT_EQ(cut, live + free);
  }

  Choices& choices_;
  CentralOnFakes on_;
  PerCpuCentral& central_ = on_.central;
  std::map<uint64_t*, uint64_t> live_[kSizeClassEnd];  // object to the mark in it
  uint64_t reported_[kSizeClassEnd] = {};
  bool borrowed_ = false;
  uint64_t mark_ = 0;
};

TEST(CentralFuzz, RandomBatchesAgreeWithTheModel) {
  ForEachSeed(6, [](Choices& choices) { CentralFuzz(choices).Run(); });
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// Several thread caches, driven in turns by one thread, under random allocation and freeing across
// each other, against a map of the objects that are out.
#include <cstdint>
#include <map>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"
#include "tests/fuzz/fuzz.h"

namespace spanmalloc {
namespace {

constexpr int kSteps = 4000;
constexpr size_t kMaxStates = 5;

struct Live {
  size_t size_class;
  uint64_t mark;
};

class CacheFuzz {
 public:
  explicit CacheFuzz(Choices& choices)
      : choices_(choices),
        budget_(choices.OneIn(3) ? static_cast<int64_t>(choices.Below(100000))
                                 : CachesOnFakes::kBudget),
        on_(budget_) {}

  void Run() {
    states_.push_back(on_.registry.Create());
    for (int step = 0; step < kSteps && !testing::Test::HasFailure(); ++step) {
      Step();
      if (step % 64 == 0) Check();
    }
    on_.memory.RefuseNothing();
    while (!live_.empty()) Free(live_.begin());
    Check();
    for (ThreadState* state : states_) on_.registry.Destroy(state);
    on_.registry.ReturnKept();
    EXPECT_EQ(on_.budget.left(), budget_);
    on_.central.Drain();
    EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u);
    EXPECT_TRUE(FaultLog::Take().empty());
  }

 private:
  ThreadState* AnyState() { return *choices_.Pick(states_); }

  void Step() {
    on_.clock.Advance(choices_.Below(5));
    on_.memory.RefuseNothing();
    if (choices_.OneIn(50)) {
      on_.memory.RefuseAll(choices_.OneIn(2) ? FakeVirtualMemory::kMap : FakeVirtualMemory::kMapAt);
    }
    const size_t choice = choices_.Below(1000);
    if (choice < 480) {
      Allocate(choices_.Magnitude(100));
    } else if (choice < 960) {
      for (size_t n = choices_.Magnitude(100); n > 0 && !live_.empty(); --n) Free(AnyLive());
    } else if (choice < 970) {
      AnyState()->ReturnIdle();
    } else if (choice < 975) {
      AnyState()->FlushAll();
    } else if (choice < 980) {
      on_.central.ReturnIdle();
    } else if (choice < 990 && states_.size() < kMaxStates) {
      ThreadState* state = on_.registry.Create();
      if (state != nullptr) states_.push_back(state);
    } else if (states_.size() > 1) {
      on_.registry.Destroy(states_.back());
      states_.pop_back();
    }
  }

  using Iterator = std::map<uint64_t*, Live>::iterator;
  Iterator AnyLive() {
    // Near a random address: picking by rank would walk the map.
    const auto it = live_.lower_bound(
        live_.begin()->first +
        choices_.Below(static_cast<size_t>(live_.rbegin()->first - live_.begin()->first + 1)));
    return it == live_.end() ? live_.begin() : it;
  }

  void Allocate(size_t count) {
    ThreadState* state = AnyState();
    const size_t c = choices_.OneIn(2) ? 1 + choices_.Below(kSizeClasses) : 1 + choices_.Below(6);
    const size_t words = kSizeClassTable[c].size / sizeof(uint64_t);
    for (size_t i = 0; i < count && live_.size() < 20000; ++i) {
      bool zeroed = false;
      auto* object = static_cast<uint64_t*>(on_.Allocate(state, c, &zeroed));
      if (object == nullptr) {
        EXPECT_NE(on_.memory.refused(), 0u);
        return;
      }
      for (size_t w = 0; zeroed && w < words; ++w) ASSERT_EQ(object[w], 0u);
      ASSERT_TRUE(live_.emplace(object, Live{c, ++mark_}).second) << "handed out twice";
      borrowed_ = borrowed_ || OwnClass(object) != c;
      object[0] = object[words - 1] = mark_;
    }
  }

  // The class that an object was cut for, which may be another than it was given out for.
  SizeClass OwnClass(void* object) { return on_.page_map.SpanOf(object)->size_class; }

  void Free(Iterator it) {
    const auto [c, mark] = it->second;
    const size_t words = kSizeClassTable[c].size / sizeof(uint64_t);
    EXPECT_EQ(it->first[0], mark);
    EXPECT_EQ(it->first[words - 1], mark);
    // As what it was given out for, or as what it is: frees without a size do.
    on_.Free(AnyState(), choices_.OneIn(2) ? c : OwnClass(it->first), it->first);
    live_.erase(it);
  }

  void Check() {
    ASSERT_TRUE(on_.registry.CheckInvariants());
    ASSERT_TRUE(on_.central.CheckInvariants());
    ASSERT_TRUE(on_.page_heap.CheckInvariants());
    ASSERT_LE(on_.budget.left(), budget_);
    size_t live[kSizeClassEnd] = {};
    for (const auto& [object, entry] : live_) ++live[entry.size_class];
    size_t cached[kSizeClassEnd] = {};
    ASSERT_EQ(on_.registry.AddCounts(cached), states_.size());
    uint64_t all_outside = 0;
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      all_outside += on_.Outside(c, cached[c]);
      // Until a class borrows from another, they agree for each.
      if (!borrowed_) ASSERT_EQ(on_.Outside(c, cached[c]), live[c]) << c;
    }
    ASSERT_EQ(all_outside, live_.size());
  }

  Choices& choices_;
  const int64_t budget_;
  CachesOnFakes on_;
  std::vector<ThreadState*> states_;
  std::map<uint64_t*, Live> live_;
  bool borrowed_ = false;
  uint64_t mark_ = 0;
};

TEST(CacheFuzz, RandomUseAgreesWithTheModel) {
  ForEachSeed(6, [](Choices& choices) { CacheFuzz(choices).Run(); });
}

}  // namespace
}  // namespace spanmalloc

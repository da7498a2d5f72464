// SPDX-License-Identifier: Apache-2.0
//
// A span's objects, for every size class: each handed out once, taken back once, and every other
// pointer told for what it is.
#include "allocator/heap/span.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <set>
#include <vector>

#include "allocator/params/size_class_table.h"
#include "allocator/params/span_shapes.h"
#include "gtest/gtest.h"
#include "tests/support/object_state.h"

namespace spanmalloc {
namespace {

constexpr uintptr_t kStart = uintptr_t{1} << 44;  // never touched

class SpanTest : public testing::TestWithParam<size_t> {
 protected:
  SpanTest() {
    span_.start = kStart;
    span_.pages = shape_.pages;
    span_.Carve(static_cast<SizeClass>(GetParam()), bitmap_.empty() ? nullptr : bitmap_.data());
  }

  // Returns how many of the objects at `addresses` the span took.
  size_t Put(std::initializer_list<uintptr_t> addresses) {
    std::vector<void*> objects;
    for (uintptr_t address : addresses) objects.push_back(reinterpret_cast<void*>(address));
    return span_.PutObjects(objects.data(), objects.size());
  }

  const SpanShape& shape_ = ShapeOf(GetParam());
  std::vector<uint64_t> bitmap_ = std::vector<uint64_t>(
      Span::LongBitmapBytes(static_cast<SizeClass>(GetParam())) / sizeof(uint64_t));
  Span span_ = {};
};

TEST_P(SpanTest, StartsWithAllObjectsFree) {
  EXPECT_EQ(span_.free_objects, shape_.objects);
  EXPECT_EQ(span_.free().Count(), shape_.objects);
  EXPECT_EQ(span_.live_objects(), 0u);
  EXPECT_EQ(span_.bytes(), shape_.pages * kPageSize);
  EXPECT_TRUE(span_.Contains(kStart));
  EXPECT_TRUE(span_.Contains(kStart + span_.bytes() - 1));
  EXPECT_FALSE(span_.Contains(kStart + span_.bytes()));
  EXPECT_FALSE(span_.Contains(kStart - 1));
}

TEST_P(SpanTest, HandsOutEachObjectOnceInAscendingOrder) {
  void* out[kMaxObjectsPerSpan + 1];
  size_t taken = 0;
  for (size_t want :
       {size_t{1}, size_t{2}, size_t{63}, size_t{5}, size_t{64}, size_t{65}, kMaxObjectsPerSpan}) {
    const size_t got = span_.TakeObjects(out + taken, want);
    ASSERT_EQ(got, std::min<size_t>(want, shape_.objects - taken));
    taken += got;
  }
  ASSERT_EQ(taken, shape_.objects);
  EXPECT_EQ(span_.free_objects, 0u);
  for (size_t i = 0; i < taken; ++i) {
    ASSERT_EQ(reinterpret_cast<uintptr_t>(out[i]), kStart + i * shape_.size);
  }
  EXPECT_EQ(span_.TakeObjects(out, 1), 0u);
}

TEST_P(SpanTest, UntilAnObjectComesBackTheBitmapIsNotTouched) {
  void* out[kMaxObjectsPerSpan];
  const auto expect_in_order = [&](size_t live) {
    for (size_t i = 0; i < shape_.objects; ++i) {
      ASSERT_EQ(StateOfObjectAt(span_, kStart + i * shape_.size),
                i < live ? ObjectState::kLive : ObjectState::kFree);
    }
    if (shape_.objects > 1) span_.FreeParts();
    EXPECT_EQ(std::count(bitmap_.begin(), bitmap_.end(), 0u), std::ssize(bitmap_));
    for (uint64_t word : span_.free_words) {
      EXPECT_TRUE(word == 0 || !bitmap_.empty());
    }
  };
  size_t live = 0;
  for (size_t want : {size_t{1}, size_t{64}, size_t{100}, kMaxObjectsPerSpan}) {
    expect_in_order(live);
    live += span_.TakeObjects(out, want);
  }
  expect_in_order(shape_.objects);
  ASSERT_EQ(Put({kStart}), 1u);
  EXPECT_EQ(StateOfObjectAt(span_, kStart), ObjectState::kFree);
  EXPECT_EQ(span_.free().Count(), 1u);
}

TEST_P(SpanTest, AnObjectThatComesBackEarlyIsGivenOutFirst) {
  if (shape_.objects < 3) return;
  void* out[kMaxObjectsPerSpan];
  span_.TakeObjects(out, 2);
  ASSERT_EQ(Put({kStart}), 1u);
  EXPECT_EQ(Put({kStart + 2 * shape_.size}), 0u) << "never given out";
  EXPECT_EQ(span_.free().Count(), shape_.objects - 1);
  ASSERT_EQ(span_.TakeObjects(out, kMaxObjectsPerSpan), shape_.objects - 1);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(out[0]), kStart);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(out[1]), kStart + 2 * shape_.size);
}

// The parts that objects in use reach into, byte by byte.
uint64_t PartsInUse(Span& span) {
  uint64_t parts = 0;
  for (size_t i = 0; i < span.objects(); ++i) {
    if (span.free().Get(i)) continue;
    for (size_t b = 0; b < span.object_size(); ++b) {
      parts |= uint64_t{1} << ((i * span.object_size() + b) / kReleaseUnit);
    }
  }
  return parts;
}

TEST_P(SpanTest, FreePartsAreThoseThatNoObjectInUseReaches) {
  if (shape_.objects == 1) return;  // empty, it goes back as a whole
  const size_t parts = span_.bytes() / kReleaseUnit;
  const uint64_t all = ~uint64_t{0} >> (64 - parts);
  EXPECT_EQ(span_.FreeParts(), all);
  std::mt19937 random(7);
  void* out[kMaxObjectsPerSpan];
  for (unsigned kept : {1u, 2u, 8u, 50u, 100u}) {
    span_.TakeObjects(out, shape_.objects);
    EXPECT_EQ(span_.FreeParts() & PartsInUse(span_), 0u);
    for (size_t i = 0; i < shape_.objects; ++i) {
      if (random() % 100 >= kept) Put({kStart + i * shape_.size});
    }
    EXPECT_EQ(span_.FreeParts(), all & ~PartsInUse(span_)) << kept;
    for (size_t i = 0; i < shape_.objects; ++i) {
      if (!span_.free().Get(i)) Put({kStart + i * shape_.size});
    }
  }
}

TEST_P(SpanTest, WhatIsTouchedIsNoMoreReleased) {
  if (shape_.objects == 1) return;
  void* out[kMaxObjectsPerSpan];
  span_.SetReleased(span_.FreeParts());
  while (const size_t taken = span_.TakeObjects(out, 3)) {
    for (size_t i = 0; i < taken; ++i) span_.NoteTouched(out[i]);
    ASSERT_EQ(span_.Released(), span_.FreeParts());
  }
}

TEST_P(SpanTest, WhatIsReleasedAndWhatIsFreeAreApart) {
  if (shape_.objects == 1) return;
  void* out[kMaxObjectsPerSpan];
  ASSERT_EQ(span_.TakeObjects(out, shape_.objects), shape_.objects);
  ASSERT_EQ(span_.PutObjects(out, shape_.objects), shape_.objects);
  for (const uint64_t parts : {span_.FreeParts(), uint64_t{0}, span_.FreeParts()}) {
    span_.SetReleased(parts);
    EXPECT_EQ(span_.free().Count(), shape_.objects);
  }
  ASSERT_EQ(span_.TakeObjects(out, shape_.objects), shape_.objects);
  EXPECT_EQ(span_.Released(), ~uint64_t{0} >> (64 - span_.bytes() / kReleaseUnit));
}

TEST_P(SpanTest, TellsStartsOfLiveObjectsFromAllOtherBytes) {
  void* out[kMaxObjectsPerSpan];
  span_.TakeObjects(out, (shape_.objects + 1) / 2);
  std::set<uintptr_t> live;
  for (size_t i = 0; i < span_.live_objects(); ++i) {
    live.insert(reinterpret_cast<uintptr_t>(out[i]));
  }
  // Every byte of short spans, and about as many of long ones.
  const size_t step = span_.bytes() > 65536 ? 7 : 1;
  for (uintptr_t a = kStart; a < kStart + span_.bytes(); a += step) {
    const uintptr_t offset = a - kStart;
    ObjectState expected = ObjectState::kNoObject;
    if (live.count(a) != 0) {
      expected = ObjectState::kLive;
    } else if (offset % shape_.size == 0 && offset / shape_.size < shape_.objects) {
      expected = ObjectState::kFree;
    }
    ASSERT_EQ(StateOfObjectAt(span_, a), expected) << "offset " << offset;
    if (expected != ObjectState::kLive) ASSERT_EQ(Put({a}), 0u) << "offset " << offset;
  }
  EXPECT_EQ(span_.live_objects(), live.size());
}

TEST_P(SpanTest, TakesABatchBackUpToTheFirstFaultyPointer) {
  void* out[kMaxObjectsPerSpan];
  const size_t taken = span_.TakeObjects(out, 2);
  const uintptr_t first = reinterpret_cast<uintptr_t>(out[0]);
  const uintptr_t last = reinterpret_cast<uintptr_t>(out[taken - 1]);
  EXPECT_EQ(Put({last, last, first}), 1u);
  EXPECT_EQ(span_.live_objects(), taken - 1);
  EXPECT_EQ(Put({last + 16, first}), 0u);
  EXPECT_EQ(span_.live_objects(), taken - 1);
}

// Neighbours are taken in one go, and yet none that is free, or no object, is.
TEST_P(SpanTest, TakesNeighboursUpToTheFirstFault) {
  const size_t count = shape_.objects;
  std::vector<void*> all(count);
  for (size_t faulty = 0; faulty <= count; faulty += count / 7 + 1) {
    for (bool ascending : {true, false}) {
      ASSERT_EQ(span_.TakeObjects(all.data(), count), count);
      if (!ascending) std::reverse(all.begin(), all.end());
      if (faulty < count) {
        ASSERT_EQ(span_.PutObjects(&all[faulty], 1), 1u);
      }
      EXPECT_EQ(span_.PutObjects(all.data(), count), faulty < count ? faulty : count);
      for (size_t i = faulty + 1; i < count; ++i) ASSERT_EQ(span_.PutObjects(&all[i], 1), 1u);
      EXPECT_EQ(span_.free_objects, count);
      EXPECT_EQ(span_.free().Count(), count);
    }
  }
  // Beyond either end nothing is an object, whatever follows from its neighbours.
  ASSERT_EQ(span_.TakeObjects(all.data(), count), count);
  const uintptr_t end = kStart + count * shape_.size;
  EXPECT_EQ(Put({end - shape_.size, end, end + shape_.size}), 1u);
  EXPECT_EQ(Put({kStart, kStart - shape_.size, kStart - 2 * shape_.size}), count == 1 ? 0u : 1u);
  EXPECT_EQ(span_.free().Count(), span_.free_objects);
}

TEST_P(SpanTest, RandomTakesAndPutsLoseNoObject) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  std::set<uintptr_t> live;
  for (int step = 0; step < 500; ++step) {
    if (random() % 2 == 0) {
      void* out[32];
      const size_t got = span_.TakeObjects(out, random() % 33);
      for (size_t i = 0; i < got; ++i) {
        ASSERT_TRUE(live.insert(reinterpret_cast<uintptr_t>(out[i])).second) << "handed out twice";
      }
    } else {
      std::vector<void*> batch;
      for (size_t n = random() % 33; n > 0 && !live.empty(); --n) {
        auto it = live.begin();
        std::advance(it, random() % live.size());
        ASSERT_EQ(StateOfObjectAt(span_, *it), ObjectState::kLive);
        batch.push_back(reinterpret_cast<void*>(*it));
        live.erase(it);
      }
      ASSERT_EQ(span_.PutObjects(batch.data(), batch.size()), batch.size());
      for (void* object : batch) {
        ASSERT_EQ(StateOfObjectAt(span_, reinterpret_cast<uintptr_t>(object)), ObjectState::kFree);
      }
    }
    ASSERT_EQ(span_.live_objects(), live.size());
    ASSERT_EQ(span_.free().Count(), span_.free_objects);
  }
}

INSTANTIATE_TEST_SUITE_P(AllClasses, SpanTest, testing::Range<size_t>(1, kSizeClassEnd),
                         [](const testing::TestParamInfo<size_t>& info) {
                           return "Size" + std::to_string(kSizeClassTable[info.param].size);
                         });

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// What the central floor says of pointers that are no live objects of the class they are returned
// as, and that the good ones beside them still go home.
#include <cstdint>
#include <vector>

#include "allocator/central/per_cpu_central.h"
#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr SizeClass kClass = 8;  // 128 bytes
constexpr size_t kSize = kSizeClassTable[kClass].size;

class BadPointersTest : public testing::Test {
 protected:
  ~BadPointersTest() {
    EXPECT_TRUE(central_.CheckInvariants());
    EXPECT_TRUE(on_.page_heap.CheckInvariants());
  }

  std::vector<char*> Take(SizeClass c, size_t count) {
    std::vector<char*> objects;
    for (size_t i = 0; i < count; ++i) {
      void* object = nullptr;
      EXPECT_EQ(central_.Remove(c, &object, 1), 1u);
      objects.push_back(static_cast<char*>(object));
    }
    return objects;
  }
  // Returns a batch to the spans; what was reported of it.
  std::vector<BadPointer> Put(SizeClass c, std::vector<void*> batch) {
    central_.InsertInSpans(c, batch.data(), batch.size());
    return FaultLog::Take();
  }
  size_t FreeInSpans(SizeClass c) { return central_.Stats(c).span_objects; }

  CentralOnFakes on_;
  PerCpuCentral& central_ = on_.central;
};

TEST_F(BadPointersTest, GoodObjectsAreNotReported) {
  const auto objects = Take(kClass, 3);
  EXPECT_TRUE(Put(kClass, {objects[1], objects[0], objects[2]}).empty());
}

TEST_F(BadPointersTest, SecondReturnIsADoubleFree) {
  const auto objects = Take(kClass, 2);
  EXPECT_TRUE(Put(kClass, {objects[0]}).empty());
  const size_t free = FreeInSpans(kClass);
  const auto faults = Put(kClass, {objects[0]});
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kDoubleFree);
  EXPECT_EQ(faults[0].pointer, objects[0]);
  EXPECT_EQ(faults[0].block_size, kSize);
  EXPECT_EQ(FreeInSpans(kClass), free) << "counted twice";
}

TEST_F(BadPointersTest, BothCopiesInOneBatchAreOneDoubleFree) {
  const auto objects = Take(kClass, 3);
  const auto faults = Put(kClass, {objects[0], objects[1], objects[0]});
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kDoubleFree);
  EXPECT_EQ(faults[0].pointer, objects[0]);
}

// The first copy empties the span, which goes back to the page heap at once.
TEST_F(BadPointersTest, BothCopiesInOneBatchOfASpanThatIsFreed) {
  const auto objects = Take(kSizeClasses, 2);
  const size_t size = kSizeClassTable[kSizeClasses].size;
  const auto faults = Put(kSizeClasses, {objects[0], objects[1], objects[0], objects[0]});
  ASSERT_EQ(faults.size(), 2u);
  for (const BadPointer& bad : faults) {
    EXPECT_EQ(bad.fault, Fault::kDoubleFree);
    EXPECT_EQ(bad.pointer, objects[0]);
    EXPECT_EQ(bad.block_size, size);
  }
  EXPECT_EQ(central_.Stats(kSizeClasses).spans, 0u);
}

// As above, with an arena's object, which sized frees brought here.
TEST_F(BadPointersTest, BothCopiesInOneBatchOfAnArenasSpanThatIsFreed) {
  on_.heap.arenas = &on_.arenas;
  PerCpuCentral central(on_.heap);
  unsigned arena = 0;
  ASSERT_TRUE(on_.arenas.Create({.dirty_decay_ms = 1000, .muzzy_decay_ms = 0}, &arena));
  bool zeroed;
  void* object = on_.arenas.Allocate(arena, kSizeClasses, 1, 16, &zeroed);
  ASSERT_NE(object, nullptr);
  void* batch[] = {object, object};
  central.InsertInSpans(kSizeClasses, batch, 2);
  const auto faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kDoubleFree);
  EXPECT_EQ(faults[0].pointer, object);
  on_.arenas.ForEachList([](CentralFreeList& list) { EXPECT_TRUE(list.CheckInvariants()); });
}

TEST_F(BadPointersTest, BothCopiesReachTheSpansFromTheArray) {
  const auto objects = Take(kClass, 2);
  void* batch[] = {objects[0], objects[0]};
  central_.Insert(kClass, batch, 2);
  EXPECT_TRUE(FaultLog::Take().empty()) << "the array looks at nothing";
  central_.Drain();
  const auto faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kDoubleFree);
  EXPECT_EQ(faults[0].pointer, objects[0]);
}

TEST_F(BadPointersTest, AnObjectOfAFreedSpanIsADoubleFree) {
  const auto objects = Take(kSizeClasses, 1);
  EXPECT_TRUE(Put(kSizeClasses, {objects[0]}).empty());
  const auto faults = Put(kSizeClasses, {objects[0]});
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kDoubleFree);
  EXPECT_EQ(faults[0].pointer, objects[0]);
  EXPECT_EQ(faults[0].block_size, 0u) << "nothing is known of it any more";
}

TEST_F(BadPointersTest, InteriorPointersNameTheirBlock) {
  const auto objects = Take(kClass, 3);
  for (size_t into = kMinAlignment; into < kSize; into += kMinAlignment) {
    const auto faults = Put(kClass, {objects[1] + into});
    ASSERT_EQ(faults.size(), 1u);
    EXPECT_EQ(faults[0].fault, Fault::kInterior);
    EXPECT_EQ(faults[0].pointer, objects[1] + into);
    EXPECT_EQ(faults[0].block_start, objects[1]);
    EXPECT_EQ(faults[0].block_size, kSize);
  }
}

TEST_F(BadPointersTest, PointersOffTheAlignmentAreMisaligned) {
  const auto objects = Take(kClass, 3);
  for (size_t into : {size_t{1}, size_t{8}, kMinAlignment + 1, kSize - 1}) {
    const auto faults = Put(kClass, {objects[1] + into});
    ASSERT_EQ(faults.size(), 1u);
    EXPECT_EQ(faults[0].fault, Fault::kMisaligned) << into;
    EXPECT_EQ(faults[0].block_start, objects[1]);
  }
}

TEST_F(BadPointersTest, ForeignPointersAreNoBlocks) {
  alignas(16) char local[16];
  const auto wild = reinterpret_cast<void*>(uintptr_t{0x123456789abcd0});
  Take(kClass, 1);
  const auto faults = Put(kClass, {local, wild});
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_EQ(faults[0].fault, Fault::kNotABlock);
  EXPECT_EQ(faults[0].pointer, local);
  EXPECT_EQ(faults[1].fault, Fault::kNotABlock);
  EXPECT_EQ(faults[1].pointer, wild);
}

TEST_F(BadPointersTest, AnotherClassIsASizeMismatch) {
  const auto objects = Take(kClass + 1, 1);
  const auto faults = Put(kClass, {objects[0]});
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kSizeMismatch);
  EXPECT_EQ(faults[0].claimed_size, kSize);
  EXPECT_EQ(faults[0].block_size, kSizeClassTable[kClass + 1].size);
}

TEST_F(BadPointersTest, GoodObjectsBesideBadOnesGoHome) {
  const auto objects = Take(kClass, 4);
  const auto other = Take(kClass + 1, 1);
  const size_t free = FreeInSpans(kClass);
  char local[1];
  const auto faults = Put(kClass, {objects[0], local, objects[1] + 1, objects[1], other[0],
                                   objects[2], objects[2] + 16, objects[0]});
  EXPECT_EQ(faults.size(), 5u);
  EXPECT_EQ(FreeInSpans(kClass), free + 3);
  EXPECT_TRUE(Put(kClass + 1, {other[0]}).empty()) << "it was not freed under the wrong class";
}

}  // namespace
}  // namespace spanmalloc

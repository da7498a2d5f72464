// SPDX-License-Identifier: Apache-2.0
//
// What the central floor says of pointers that are no live objects of the class they are returned
// as, and that the good ones beside them still go home.
#include <cstdint>
#include <utility>
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
  const auto faults = Put(kSizeClasses, {objects[0], objects[1], objects[0], objects[0]});
  ASSERT_EQ(faults.size(), 2u);
  for (const BadPointer& bad : faults) {
    EXPECT_EQ(bad.fault, Fault::kDoubleFree);
    EXPECT_EQ(bad.pointer, objects[0]);
    EXPECT_EQ(bad.block_size, 0u) << "nothing is known of it any more";
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

TEST_F(BadPointersTest, InteriorPointersOfABlockWithASpanOfItsOwnNameIt) {
  const auto objects = Take(kSizeClasses, 2);
  for (size_t into :
       {kMinAlignment, kPageSize, kSizeClassTable[kSizeClasses].size - kMinAlignment}) {
    const auto faults = Put(kSizeClasses, {objects[1] + into});
    ASSERT_EQ(faults.size(), 1u);
    EXPECT_EQ(faults[0].fault, Fault::kInterior);
    EXPECT_EQ(faults[0].pointer, objects[1] + into);
    EXPECT_EQ(faults[0].block_start, objects[1]);
    EXPECT_EQ(faults[0].block_size, kSizeClassTable[kSizeClasses].size);
  }
  EXPECT_TRUE(Put(kSizeClasses, {objects[0], objects[1]}).empty());
  EXPECT_EQ(central_.Stats(kSizeClasses).spans, 0u);
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

// Meanwhile the span was given back, and its pages serve another class.
TEST_F(BadPointersTest, AnArenasObjectOfAnOlderSpanIsADoubleFree) {
  constexpr SizeClass kNext = kClass * 2;
  ASSERT_EQ(ShapeOf(kNext).pages, ShapeOf(kClass).pages);
  unsigned arena = 0;
  ASSERT_TRUE(on_.arenas.Create({.dirty_decay_ms = 1000, .muzzy_decay_ms = 0}, &arena));
  bool zeroed;
  void* freed = nullptr;
  ASSERT_EQ(on_.arenas.AllocateBatch(arena, kClass, &freed, 1, &zeroed), 1u);
  on_.arenas.FreeBatch(arena, kClass, &freed, 1);
  on_.arenas.FreeEmptySpans();
  void* used[2] = {};
  ASSERT_EQ(on_.arenas.AllocateBatch(arena, kNext, used, 2, &zeroed), 2u);
  ASSERT_EQ(used[0], freed);

  on_.arenas.FreeBatch(arena, kClass, &freed, 1);
  const auto faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kDoubleFree);
  EXPECT_EQ(faults[0].pointer, freed);
  on_.arenas.FreeBatch(arena, kNext, used, 2);
  EXPECT_TRUE(FaultLog::Take().empty()) << "it was not freed under the wrong class";
  on_.arenas.ForEachList([](CentralFreeList& list) { EXPECT_TRUE(list.CheckInvariants()); });
}

// The same in the common heap, where that happens between the look at the span and its list's lock.
TEST_F(BadPointersTest, AnObjectWhoseSpanIsOfAnotherClassByNowIsADoubleFree) {
  Take(kClass, 1);
  const auto objects = Take(kClass + 1, 2);
  CentralFreeList* list = nullptr;
  central_.ForEachListOf(kClass, [&list](CentralFreeList& one) { list = &one; });
  ASSERT_NE(list, nullptr);
  Span* span = on_.page_map.SpanOf(objects[0]);
  // Objects come back to it, and each but the last of them in place.
  ASSERT_TRUE(Put(kClass + 1, {objects[1]}).empty());
  const size_t free = span->free_objects;
  void* batch[] = {objects[0], objects[0]};
  for (uint32_t count : {1u, 2u}) {
    ObjectRun run = {span, 0, count};
    list->PutOwned(on_.heap, batch, &run, 1);
    EXPECT_EQ(run.span, nullptr);
    const auto faults = FaultLog::Take();
    ASSERT_EQ(faults.size(), count);
    EXPECT_EQ(faults[0].fault, Fault::kDoubleFree);
    EXPECT_EQ(faults[0].pointer, objects[0]);
    EXPECT_EQ(span->free_objects, free);
  }
}

// As above, and the span's descriptor is an arena's by then: what the report of another pointer
// does here, another thread may do at any moment.
TEST_F(BadPointersTest, AnObjectWhoseSpanIsAnArenasByNowIsADoubleFree) {
  static struct {
    PerCpuCentral* central;
    ArenaSet* arenas;
    std::vector<char*> objects;
    unsigned arena;
    void* of_arena;
  } race;
  const auto free_all = [](const BadPointer& bad) {
    FaultLog::Report(bad);
    if (race.objects.empty()) return;
    const std::vector<char*> objects = std::exchange(race.objects, {});
    for (void* object : objects) race.central->InsertInSpans(kClass, &object, 1);
    race.central->Drain();
    bool zeroed;
    race.arenas->AllocateBatch(race.arena, kClass, &race.of_arena, 1, &zeroed);
  };
  PerCpuCentral central(Heap{on_.metadata, on_.page_map, on_.node_heaps, free_all, &on_.arenas});
  race = {&central, &on_.arenas, {}, 0, nullptr};
  ASSERT_TRUE(on_.arenas.Create({.dirty_decay_ms = 1000, .muzzy_decay_ms = 0}, &race.arena));
  // Of the two descriptors that become free the heap keeps the last; the other is anybody's.
  for (size_t i = 0; i <= ShapeOf(kClass).objects; ++i) {
    void* object = nullptr;
    ASSERT_EQ(central.Remove(kClass, &object, 1), 1u);
    race.objects.push_back(static_cast<char*>(object));
  }
  char* const object = race.objects.front();
  Span* const span = on_.page_map.SpanOf(object);
  char local[1];
  void* batch[] = {object, local};
  central.InsertInSpans(kClass, batch, 2);
  ASSERT_EQ(on_.page_map.SpanOf(race.of_arena), span) << "the test is none";
  const auto faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_EQ(faults[1].fault, Fault::kDoubleFree);
  EXPECT_EQ(faults[1].pointer, object);
  EXPECT_TRUE(central.CheckInvariants());
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

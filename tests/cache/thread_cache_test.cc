// SPDX-License-Identifier: Apache-2.0
//
// The stacks of the hit path.
#include "allocator/cache/thread_cache.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

TEST(ThreadCacheTest, ANewCacheIsEmptyAndFullForEveryClass) {
  auto cache = std::make_unique<ThreadCache>();
  int object;
  for (size_t c = 0; c < kSizeClassEnd; ++c) {
    EXPECT_EQ(cache->Pop(c), nullptr);
    EXPECT_FALSE(cache->Push(c, &object));
    EXPECT_EQ(cache->Pop(c), nullptr) << "a refused push left something";
  }
  EXPECT_EQ(empty_stack[0], nullptr);
  EXPECT_EQ(empty_stack[1], nullptr);
}

TEST(ThreadCacheTest, LastInIsFirstOutUpToTheLimit) {
  auto cache = std::make_unique<ThreadCache>();
  void* slots[5] = {};  // a sentinel and four places, three of them allowed
  cache->top[7] = &slots[1];
  cache->limit[7] = &slots[4];
  int objects[4];
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(cache->Push(7, &objects[i]));
  EXPECT_FALSE(cache->Push(7, &objects[3]));
  EXPECT_EQ(slots[4], nullptr) << "written past the limit";
  for (int i = 2; i >= 0; --i) EXPECT_EQ(cache->Pop(7), &objects[i]);
  EXPECT_EQ(cache->Pop(7), nullptr);
  EXPECT_EQ(cache->top[7], &slots[1]) << "popped below the bottom";
}

// A limit lowered below the top: the stack takes nothing until it has shrunk.
TEST(ThreadCacheTest, AStackAboveItsLimitIsFull) {
  auto cache = std::make_unique<ThreadCache>();
  int objects[3];
  void* slots[5] = {nullptr, &objects[0], &objects[1], &objects[2]};
  cache->top[7] = &slots[4];
  cache->limit[7] = &slots[2];
  EXPECT_FALSE(cache->Push(7, &objects[0]));
  EXPECT_EQ(cache->Pop(7), &objects[2]);
  EXPECT_EQ(cache->Pop(7), &objects[1]);
  EXPECT_EQ(cache->Pop(7), &objects[0]);
}

TEST(ThreadCacheTest, CarriesACopyOfTheSmallClassTable) {
  auto cache = std::make_unique<ThreadCache>();
  EXPECT_EQ(cache->small_class, kSmallClassTable);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(cache.get()) % kCacheLine, 0u);
}

}  // namespace
}  // namespace spanmalloc

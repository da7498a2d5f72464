// SPDX-License-Identifier: Apache-2.0
//
// The heap of what interrupts a slow path, over mappings that come and go as the test says.
#include "allocator/api/reentrant_heap.h"

#include <functional>
#include <utility>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

// A kernel that has a single place for mappings.
class OnePlace final : public os::VirtualMemory {
 public:
  void* Map(size_t size) override {
    if (mapped_ != 0 || size > sizeof(place_)) return nullptr;
    mapped_ = size;
    return place_;
  }
  bool Unmap(void* address, size_t size) override {
    EXPECT_EQ(address, place_);
    EXPECT_EQ(size, std::exchange(mapped_, size_t{0}));
    if (after_unmap) std::exchange(after_unmap, nullptr)();
    return true;
  }
  size_t PageSize() override { return 4096; }
  size_t mapped() const { return mapped_; }

  // What another thread does as soon as the place is free.
  std::function<void()> after_unmap;

 private:
  bool MapAt(void*, size_t) override { return false; }
  void* Reserve(size_t) override { return nullptr; }
  bool Commit(void*, size_t) override { return false; }
  bool Release(void*, size_t) override { return false; }
  bool MapOver(void*, size_t) override { return false; }
  bool AdviseHugePages(void*, size_t, bool) override { return false; }
  size_t Resident(const void*, size_t) override { return 0; }
  uint64_t TouchNs(void*) override { return 0; }
  bool GivesHugePages() override { return false; }
  bool Move(void*, void*, size_t) override { return false; }

  alignas(4096) char place_[16384];
  size_t mapped_ = 0;
};

class ReentrantHeapTest : public testing::Test {
 protected:
  OnePlace memory_;
  ReentrantHeap::Table table_;
  ReentrantHeap heap_{memory_, table_};
};

TEST_F(ReentrantHeapTest, BlocksHaveWholePagesAndGoBack) {
  void* block = heap_.Allocate(5000, 16);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(heap_.UsableSize(block), 8192u);
  EXPECT_TRUE(heap_.Free(block));
  EXPECT_EQ(memory_.mapped(), 0u);
  EXPECT_EQ(heap_.UsableSize(block), 0u);
  EXPECT_FALSE(heap_.Free(block));
}

TEST_F(ReentrantHeapTest, ARefusedBlockLeavesItsEntryFree) {
  for (size_t i = 0; i < 2 * table_.size(); ++i) EXPECT_EQ(heap_.Allocate(32768, 16), nullptr);
  EXPECT_NE(heap_.Allocate(1, 16), nullptr);
}

// The kernel gives another thread the place of a block whose free isn't over yet.
TEST_F(ReentrantHeapTest, ABlockWhereAnotherIsBeingFreedIsAnother) {
  void* block = heap_.Allocate(100, 16);
  void* next = nullptr;
  memory_.after_unmap = [&] { next = heap_.Allocate(9000, 16); };
  EXPECT_TRUE(heap_.Free(block));
  ASSERT_EQ(next, block);
  EXPECT_EQ(heap_.UsableSize(next), 12288u);
  EXPECT_TRUE(heap_.Free(next));
  EXPECT_EQ(memory_.mapped(), 0u);
  EXPECT_FALSE(heap_.Free(next)) << "found twice";
}

// The same while the first free hasn't come back.
TEST_F(ReentrantHeapTest, ABlockWhereAnotherIsBeingFreedIsFreedAsItIs) {
  void* block = heap_.Allocate(100, 16);
  memory_.after_unmap = [&] {
    void* next = heap_.Allocate(9000, 16);
    ASSERT_EQ(next, block);
    EXPECT_EQ(heap_.UsableSize(next), 12288u);
    EXPECT_TRUE(heap_.Free(next));
  };
  EXPECT_TRUE(heap_.Free(block));
  EXPECT_EQ(memory_.mapped(), 0u);
}

}  // namespace
}  // namespace spanmalloc

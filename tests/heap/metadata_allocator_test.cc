// SPDX-License-Identifier: Apache-2.0
//
// The allocator's own memory: blocks that are aligned, zero and apart from each other, whatever was
// freed before, and nothing but nullptr when the kernel refuses.
#include "allocator/heap/metadata_allocator.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/fake_virtual_memory.h"

namespace spanmalloc {
namespace {

bool IsZero(const void* block, size_t size) {
  const auto* bytes = static_cast<const char*>(block);
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

class MetadataAllocatorTest : public testing::Test {
 protected:
  FakeVirtualMemory memory_{size_t{2} << 20};
  MetadataAllocator metadata_{memory_};
};

TEST_F(MetadataAllocatorTest, AsksTheKernelForNothingBeforeTheFirstBlock) {
  EXPECT_EQ(metadata_.used_bytes(), 0u);
  EXPECT_EQ(metadata_.mapped_bytes(), 0u);
  EXPECT_EQ(memory_.calls(FakeVirtualMemory::kMap), 0u);
}

TEST_F(MetadataAllocatorTest, RandomBlocksAreAlignedZeroAndApart) {
  std::mt19937 random(11);
  std::map<uintptr_t, size_t> live;  // start to size
  for (int step = 0; step < 20000; ++step) {
    if (live.size() < 200 && random() % 2 == 0) {
      const size_t size = 1 + random() % (random() % 8 == 0 ? 40000 : 700);
      void* block = metadata_.Allocate(size);
      ASSERT_NE(block, nullptr);
      const auto start = reinterpret_cast<uintptr_t>(block);
      ASSERT_EQ(start % 64, 0u);
      ASSERT_TRUE(IsZero(block, size)) << size;
      const auto after = live.upper_bound(start);
      if (after != live.end()) ASSERT_GE(after->first, start + size);
      if (after != live.begin()) {
        const auto before = std::prev(after);
        ASSERT_LE(before->first + before->second, start);
      }
      live[start] = size;
      memset(block, 0xab, size);
    } else if (!live.empty()) {
      auto it =
          live.lower_bound(reinterpret_cast<uintptr_t>(random() % 2 == 0 ? nullptr : &random));
      if (it == live.end()) it = live.begin();
      std::advance(it, random() % std::distance(it, live.end()));
      metadata_.Free(reinterpret_cast<void*>(it->first), it->second);
      live.erase(it);
    }
  }
  size_t asked_for = 0;
  for (const auto& [start, size] : live) asked_for += size;
  EXPECT_GE(metadata_.used_bytes(), asked_for);
  EXPECT_LE(metadata_.used_bytes(), metadata_.mapped_bytes());
  for (const auto& [start, size] : live) metadata_.Free(reinterpret_cast<void*>(start), size);
  EXPECT_EQ(metadata_.used_bytes(), 0u);
}

TEST_F(MetadataAllocatorTest, FreedBlocksServeTheSameSizeAgain) {
  for (size_t size : {1u, 64u, 65u, 4096u, 4097u, 8192u, 300000u}) {
    void* block = metadata_.Allocate(size);
    memset(block, 1, size);
    metadata_.Free(block, size);
    const size_t mapped = metadata_.mapped_bytes();
    EXPECT_EQ(metadata_.Allocate(size), block) << size;
    EXPECT_TRUE(IsZero(block, size)) << size;
    EXPECT_EQ(metadata_.mapped_bytes(), mapped) << size;
  }
}

TEST_F(MetadataAllocatorTest, WhatMayNeverBeWrittenToSharesNoPageWithTheRest) {
  std::set<uintptr_t> pages[2];
  for (int i = 0; i < 500; ++i) {
    for (FirstWrite first_write : {FirstWrite::kSoon, FirstWrite::kPerhaps}) {
      void* block = metadata_.Allocate(192, first_write);
      ASSERT_NE(block, nullptr);
      ASSERT_TRUE(IsZero(block, 192));
      pages[static_cast<size_t>(first_write)].insert(reinterpret_cast<uintptr_t>(block) / 4096);
    }
  }
  EXPECT_LE(pages[1].size(), 500u * 192 / 4096 + 2);
  for (uintptr_t page : pages[1]) EXPECT_EQ(pages[0].count(page), 0u);
}

TEST_F(MetadataAllocatorTest, BlocksLargerThanAChunkGetTheirOwn) {
  const size_t size = size_t{5} << 20;
  void* block = metadata_.Allocate(size);
  ASSERT_NE(block, nullptr);
  EXPECT_TRUE(memory_.IsAll(FakeVirtualMemory::State::kMapped, block, size));
  memset(block, 1, size);
  metadata_.Free(block, size);
}

TEST_F(MetadataAllocatorTest, RefusedMemoryIsNullAndLeavesTheRestUsable) {
  void* block = metadata_.Allocate(64);
  memory_.RefuseAll(FakeVirtualMemory::kMap);
  const size_t used = metadata_.used_bytes();
  EXPECT_EQ(metadata_.Allocate(size_t{1} << 20), nullptr);
  EXPECT_EQ(metadata_.used_bytes(), used);
  EXPECT_NE(metadata_.Allocate(64), nullptr) << "the first chunk has room";
  metadata_.Free(block, 64);
  EXPECT_EQ(metadata_.Allocate(64), block);
  memory_.RefuseNothing();
  EXPECT_NE(metadata_.Allocate(size_t{1} << 20), nullptr);
}

TEST_F(MetadataAllocatorTest, NewConstructsAndDeleteDestroys) {
  static int alive;
  struct Counted {
    Counted() { ++alive; }
    ~Counted() { --alive; }
    int value = 42;
  };
  alive = 0;
  auto* object = metadata_.New<Counted>();
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(object->value, 42);
  EXPECT_EQ(alive, 1);
  metadata_.Delete(object);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(metadata_.used_bytes(), 0u);
  memory_.RefuseAll(FakeVirtualMemory::kMap);
  struct Big {
    char bytes[size_t{1} << 20];
  };
  EXPECT_EQ(metadata_.New<Big>(), nullptr);
}

TEST_F(MetadataAllocatorTest, NewZeroIsZeroWhateverWasThereBefore) {
  struct Numbers {
    uint64_t values[300] = {};
  };
  auto* first = metadata_.NewZero<Numbers>();
  ASSERT_NE(first, nullptr);
  EXPECT_TRUE(IsZero(first, sizeof(Numbers)));
  memset(static_cast<void*>(first), 0xab, sizeof(Numbers));
  metadata_.Delete(first);
  EXPECT_EQ(metadata_.NewZero<Numbers>(), first);
  EXPECT_TRUE(IsZero(first, sizeof(Numbers)));
}

TEST_F(MetadataAllocatorTest, ThreadsNeverShareABlock) {
  std::vector<std::thread> threads;
  for (int t = 1; t <= 4; ++t) {
    threads.emplace_back([this, t] {
      for (int round = 0; round < 200; ++round) {
        unsigned char* blocks[16];
        for (auto*& block : blocks) {
          block = static_cast<unsigned char*>(metadata_.Allocate(128));
          memset(block, t, 128);
        }
        for (auto* block : blocks) {
          for (size_t i = 0; i < 128; ++i) ASSERT_EQ(block[i], t);
          metadata_.Free(block, 128);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(metadata_.used_bytes(), 0u);
}

}  // namespace
}  // namespace spanmalloc

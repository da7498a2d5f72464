// SPDX-License-Identifier: Apache-2.0
//
// <spanmalloc/spanmalloc.hpp> as a stranger's program uses it: containers, polymorphic allocators,
// types with more alignment than malloc's.
#include <errno.h>
#include <gtest/gtest.h>
#include <stdint.h>

#include <limits>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <new>
#include <spanmalloc/spanmalloc.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

struct alignas(256) Wide {
  explicit Wide(int v) : value(v) {}
  int value;
};

struct alignas(16384) VeryWide {
  char bytes[16384];
};

bool IsAligned(const void* block, size_t alignment) {
  return reinterpret_cast<uintptr_t>(block) % alignment == 0;
}

TEST(Allocator, ServesContainers) {
  std::vector<int, spanmalloc::allocator<int>> numbers;
  std::list<int, spanmalloc::allocator<int>> list;
  std::map<int, std::string, std::less<>, spanmalloc::allocator<std::pair<const int, std::string>>>
      map;
  std::unordered_map<int, int, std::hash<int>, std::equal_to<>,
                     spanmalloc::allocator<std::pair<const int, int>>>
      hash;
  for (int i = 0; i < 20000; ++i) {
    numbers.push_back(i);
    list.push_back(i);
    map.emplace(i, std::to_string(i));
    hash[i] = -i;
  }
  for (int i = 0; i < 20000; ++i) {
    ASSERT_EQ(numbers[static_cast<size_t>(i)], i);
    ASSERT_EQ(list.front(), i);
    list.pop_front();
    ASSERT_EQ(map[i], std::to_string(i));
    ASSERT_EQ(hash[i], -i);
  }
}

TEST(Allocator, TakesBlocksOfThisHeap) {
  std::vector<char, spanmalloc::allocator<char>> bytes(1000);
  EXPECT_EQ(sallocx(bytes.data(), 0), nallocx(1000, 0));
}

TEST(Allocator, AlignsOverAlignedTypes) {
  std::list<Wide, spanmalloc::allocator<Wide>> list;
  for (int i = 0; i < 100; ++i) {
    list.emplace_back(i);
    ASSERT_TRUE(IsAligned(&list.back(), alignof(Wide)));
    ASSERT_EQ(list.back().value, i);
  }
  std::vector<VeryWide, spanmalloc::allocator<VeryWide>> pages(3);
  EXPECT_TRUE(IsAligned(pages.data(), alignof(VeryWide)));
}

TEST(Allocator, IsStatelessAndRebindable) {
  using IntAllocator = spanmalloc::allocator<int>;
  static_assert(std::allocator_traits<IntAllocator>::is_always_equal::value);
  static_assert(std::is_empty_v<IntAllocator>);
  const spanmalloc::allocator<double> other{IntAllocator()};
  EXPECT_TRUE(IntAllocator() == other);
  EXPECT_FALSE(IntAllocator() != other);
  auto shared = std::allocate_shared<Wide>(IntAllocator(), 7);
  EXPECT_TRUE(IsAligned(shared.get(), alignof(Wide)));
  EXPECT_EQ(shared->value, 7);
}

TEST(Allocator, AllocateAtLeastGivesWholeBlocks) {
  spanmalloc::allocator<uint32_t> numbers;
  for (size_t count : {1, 5, 100, 999, 100000}) {
    const auto room = numbers.allocate_at_least(count);
    EXPECT_GE(room.count, count);
    EXPECT_EQ(room.count * sizeof(uint32_t), sallocx(room.ptr, 0));
    for (size_t i = 0; i < room.count; ++i) room.ptr[i] = 1;
    numbers.deallocate(room.ptr, count % 2 == 0 ? count : room.count);
  }
}

TEST(Allocator, Throws) {
  spanmalloc::allocator<long> longs;
  EXPECT_THROW((void)longs.allocate(std::numeric_limits<size_t>::max() / 2),
               std::bad_array_new_length);
  EXPECT_THROW((void)longs.allocate(std::numeric_limits<size_t>::max() / 16), std::bad_alloc);
  EXPECT_THROW((void)longs.allocate_at_least(std::numeric_limits<size_t>::max() / 16),
               std::bad_alloc);
}

TEST(MemoryResource, ServesPolymorphicContainers) {
  spanmalloc::memory_resource resource;
  std::pmr::vector<std::pmr::string> words(&resource);
  for (int i = 0; i < 5000; ++i) {
    words.emplace_back(std::to_string(i) + " is too long a text for the string itself");
  }
  EXPECT_EQ(words[4321], "4321 is too long a text for the string itself");
  EXPECT_EQ(words.get_allocator().resource(), &resource);
  EXPECT_EQ(words[0].get_allocator().resource(), &resource);
}

TEST(MemoryResource, FeedsThePoolsOfTheStandard) {
  std::pmr::unsynchronized_pool_resource pool(spanmalloc::default_resource());
  std::pmr::monotonic_buffer_resource arena(spanmalloc::default_resource());
  std::pmr::map<int, int> map(&pool);
  std::pmr::list<int> list(&arena);
  for (int i = 0; i < 10000; ++i) {
    map[i] = i;
    list.push_back(i);
  }
  EXPECT_EQ(map.size(), 10000u);
  EXPECT_EQ(list.back(), 9999);
}

TEST(MemoryResource, AlignsAndTakesEverySize) {
  std::pmr::memory_resource* resource = spanmalloc::default_resource();
  for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
    for (size_t bytes : {0, 1, 100, 5000, 300000}) {
      void* block = resource->allocate(bytes, alignment);
      ASSERT_NE(block, nullptr);
      EXPECT_TRUE(IsAligned(block, alignment));
      resource->deallocate(block, bytes, alignment);
    }
  }
  EXPECT_THROW((void)resource->allocate(std::numeric_limits<size_t>::max() / 2), std::bad_alloc);
}

TEST(MemoryResource, EqualsItsKindAlone) {
  const spanmalloc::memory_resource one;
  const spanmalloc::memory_resource other;
  EXPECT_TRUE(one == other);
  EXPECT_TRUE(one == *spanmalloc::default_resource());
  EXPECT_FALSE(one == *std::pmr::new_delete_resource());
}

unsigned ArenaOf(const void* pointer) {
  unsigned index = ~0u;
  size_t length = sizeof(index);
  EXPECT_EQ(mallctl("arenas.lookup", &index, &length, &pointer, sizeof(pointer)), 0);
  return index;
}

bool Exists(unsigned arena) {
  bool exists = false;
  size_t length = sizeof(exists);
  const std::string name = "arena." + std::to_string(arena) + ".initialized";
  EXPECT_EQ(mallctl(name.c_str(), &exists, &length, nullptr, 0), 0);
  return exists;
}

TEST(Arena, LivesAsLongAsItsHandle) {
  unsigned index;
  {
    spanmalloc::arena arena;
    index = arena.index();
    EXPECT_TRUE(Exists(index));
    for (size_t alignment : {16, 64, 4096, 1 << 22}) {
      for (size_t bytes : {0, 1, 1000, 300000}) {
        void* block = arena.allocate(bytes, alignment);
        EXPECT_TRUE(IsAligned(block, alignment));
        EXPECT_EQ(ArenaOf(block), index);
        if (bytes != 1000) arena.deallocate(block, bytes, alignment);
      }
    }
  }
  EXPECT_FALSE(Exists(index));
}

TEST(Arena, IsEmptiedByReset) {
  spanmalloc::arena arena;
  for (int round = 0; round < 3; ++round) {
    std::vector<void*> blocks;
    for (int i = 0; i < 1000; ++i) blocks.push_back(arena.allocate(100));
    const void* last = blocks.back();
    arena.reset();
    unsigned index;
    size_t length = sizeof(index);
    EXPECT_EQ(mallctl("arenas.lookup", &index, &length, &last, sizeof(last)), EINVAL);
  }
}

TEST(Arena, Moves) {
  spanmalloc::arena first;
  const unsigned index = first.index();
  spanmalloc::arena second(std::move(first));
  EXPECT_EQ(second.index(), index);
  {
    spanmalloc::arena third;
    const unsigned old = third.index();
    third = std::move(second);
    EXPECT_EQ(third.index(), index);
    EXPECT_FALSE(Exists(old));
    EXPECT_TRUE(Exists(index));
  }
  EXPECT_FALSE(Exists(index));
}

TEST(Arena, ServesPolymorphicContainers) {
  spanmalloc::arena arena;
  spanmalloc::arena other;
  spanmalloc::arena_resource resource(arena);
  std::pmr::vector<std::pmr::string> words(&resource);
  for (int i = 0; i < 5000; ++i) {
    words.emplace_back(std::to_string(i) + " is too long a text for the string itself");
  }
  EXPECT_EQ(ArenaOf(words.data()), arena.index());
  EXPECT_EQ(ArenaOf(words[77].data()), arena.index());
  EXPECT_TRUE(resource == spanmalloc::arena_resource(arena));
  EXPECT_FALSE(resource == spanmalloc::arena_resource(other));
  EXPECT_FALSE(resource == *spanmalloc::default_resource());
}

TEST(Arena, Throws) {
  spanmalloc::arena arena;
  EXPECT_THROW((void)arena.allocate(std::numeric_limits<size_t>::max() / 2), std::bad_alloc);
  std::vector<spanmalloc::arena> many;
  EXPECT_THROW(
      {
        for (;;) many.emplace_back();
      },
      std::bad_alloc);
}

}  // namespace

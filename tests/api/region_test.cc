// SPDX-License-Identifier: Apache-2.0
//
// Regions as programs use them, from C++ and C: the inline allocation, the handle and its scopes,
// the polymorphic resource, threads, fork, statistics.
#include <errno.h>
#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <memory_resource>
#include <new>
#include <spanmalloc/spanmalloc.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr size_t kMiB = size_t{1} << 20;

template <typename T = size_t>
T FreshNumber(const char* name) {
  uint64_t epoch = 1;
  EXPECT_EQ(mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch)), 0);
  T value = 0;
  size_t length = sizeof(value);
  EXPECT_EQ(mallctl(name, &value, &length, nullptr, 0), 0) << name;
  return value;
}

TEST(Region, TheInlineCodeDoesAsTheCallDoes) {
  for (int flags : {0, SPANMALLOC_REGION_SHARED}) {
    spanmalloc_region* inlined = spanmalloc_region_create(64 * kMiB, flags);
    spanmalloc_region* called = spanmalloc_region_create(64 * kMiB, flags);
    ASSERT_NE(inlined, nullptr);
    ASSERT_NE(called, nullptr);
    auto* inlined_base = static_cast<char*>(spanmalloc_region_allocate(inlined, 0, 4096));
    auto* called_base = static_cast<char*>(spanmalloc_region_allocate_slow(called, 0, 4096));
    uint64_t random = 1;
    for (size_t n = 0;; ++n) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const size_t size = (random >> 33) % (n % 100 == 0 ? 300000 : 500);
      const size_t alignment = size_t{1} << ((random >> 20) % 13);
      auto* one = static_cast<char*>(spanmalloc_region_allocate(inlined, size, alignment));
      auto* other = static_cast<char*>(spanmalloc_region_allocate_slow(called, size, alignment));
      if (one == nullptr || other == nullptr) {
        EXPECT_EQ(one, other);
        EXPECT_EQ(errno, ENOMEM);
        EXPECT_GT(n, 1000u);
        break;
      }
      ASSERT_EQ(one - inlined_base, other - called_base);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(one) % alignment, 0u);
      memset(one, 1, size);
    }
    EXPECT_EQ(spanmalloc_region_get_sizes(inlined).used, spanmalloc_region_get_sizes(called).used);
    spanmalloc_region_destroy(inlined);
    spanmalloc_region_destroy(called);
  }
}

TEST(Region, WhatCannotBeHadIsNullAndEnomem) {
  for (size_t reserve : {SIZE_MAX, SIZE_MAX / 2, size_t{1} << 60}) {
    errno = 0;
    EXPECT_EQ(spanmalloc_region_create(reserve, 0), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_THROW(spanmalloc::region(reserve, true), std::bad_alloc);
  }
  spanmalloc::region region(kMiB);
  for (size_t size : {SIZE_MAX, SIZE_MAX / 2, 2 * kMiB}) {
    for (size_t alignment : {size_t{1}, size_t{64}, size_t{1} << 40}) {
      errno = 0;
      EXPECT_EQ(spanmalloc_region_allocate(region.get(), size, alignment), nullptr);
      EXPECT_EQ(errno, ENOMEM);
      EXPECT_THROW(static_cast<void>(region.allocate(size, alignment)), std::bad_alloc);
    }
  }
  EXPECT_NE(region.allocate(kMiB - 16), nullptr);
}

TEST(Region, ScopesFreeWhatWasAllocatedInThem) {
  spanmalloc::region region(64 * kMiB);
  auto* outer = static_cast<char*>(region.allocate(1000));
  memset(outer, 1, 1000);
  const size_t used = region.sizes().used;
  for (int i = 0; i < 1000; ++i) {
    spanmalloc::region_scope scope(region);
    memset(region.allocate(5000), 2, 5000);
    {
      spanmalloc::region_scope inner(region);
      memset(region.allocate(50000), 3, 50000);
    }
    memset(region.allocate(5000), 4, 5000);
    EXPECT_LT(region.sizes().used, used + 11000);
  }
  EXPECT_EQ(region.sizes().used, used);
  EXPECT_EQ(outer[999], 1);
  EXPECT_LT(region.sizes().committed, 2 * kMiB);
}

TEST(Region, HandlesMove) {
  spanmalloc::region first(kMiB);
  void* block = first.allocate(100);
  spanmalloc::region second(std::move(first));
  spanmalloc::region third(2 * kMiB);
  third = std::move(second);
  EXPECT_EQ(third.sizes().used, 100u);
  third.reset();
  EXPECT_EQ(third.allocate(100), block);
}

TEST(Region, IsDestroyedWhenItsHandleGetsAnother) {
  spanmalloc::region first(kMiB);
  spanmalloc::region second(kMiB);
  const size_t count = FreshNumber("spanmalloc.regions.count");
  first = std::move(second);
  EXPECT_EQ(FreshNumber("spanmalloc.regions.count"), count - 1);
}

TEST(Region, ServesPolymorphicContainers) {
  spanmalloc::region region(size_t{1} << 30);
  spanmalloc::region_resource resource(region);
  spanmalloc::region_resource other(region);
  EXPECT_TRUE(resource.is_equal(resource));
  EXPECT_FALSE(resource.is_equal(other));
  for (int round = 0; round < 3; ++round) {
    spanmalloc::region_scope scope(region);
    std::pmr::vector<int> numbers(&resource);
    std::pmr::map<int, std::pmr::string> texts(&resource);
    for (int i = 0; i < 10000; ++i) {
      numbers.push_back(i);
      texts.emplace(i, "a text that is too long to be kept in the string " + std::to_string(i));
    }
    EXPECT_EQ(numbers[9999], 9999);
    EXPECT_EQ(texts[77], "a text that is too long to be kept in the string 77");
  }
  EXPECT_EQ(region.sizes().used, 0u);
}

TEST(Region, ThreadsShareOne) {
  spanmalloc::region region(256 * kMiB, /*shared=*/true);
  std::vector<std::thread> threads;
  for (int number = 1; number <= 4; ++number) {
    threads.emplace_back([&region, number] {
      std::vector<unsigned char*> blocks;
      for (size_t i = 0; i < 50000; ++i) {
        auto* block = static_cast<unsigned char*>(region.allocate(1 + i % 900, 8));
        block[0] = block[i % 900] = static_cast<unsigned char>(number);
        blocks.push_back(block);
      }
      for (size_t i = 0; i < blocks.size(); ++i) {
        ASSERT_EQ(blocks[i][0], number);
        ASSERT_EQ(blocks[i][i % 900], number);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(region.sizes().used, 4 * 50000 * size_t{400});
}

TEST(Region, AForkedChildHasACopy) {
  spanmalloc::region region(64 * kMiB);
  auto* block = static_cast<char*>(region.allocate(100));
  memset(block, 1, 100);
  std::thread busy([] {
    for (int i = 0; i < 300; ++i) {
      spanmalloc::region own(8 * kMiB);
      for (int n = 0; n < 50; ++n) static_cast<void>(own.allocate(100000));
    }
  });
  for (int i = 0; i < 10; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(20);
      bool good = block[99] == 1;
      memset(block, 2, 100);
      memset(region.allocate(8 * kMiB), 3, 8 * kMiB);
      {
        spanmalloc::region own(kMiB);
      }
      _exit(good ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_EQ(block[99], 1);
    EXPECT_EQ(region.sizes().used, 100u);
  }
  busy.join();
}

TEST(Region, StatisticsCountThem) {
  const size_t count = FreshNumber("spanmalloc.regions.count");
  const size_t used = FreshNumber("spanmalloc.regions.used");
  const int64_t resident = FreshNumber<int64_t>("spanmalloc.rss.regions");
  const size_t allocated = FreshNumber("stats.allocated");
  {
    spanmalloc::region region(size_t{8} << 30);
    memset(region.allocate(40 * kMiB), 1, 20 * kMiB);
    EXPECT_EQ(FreshNumber("spanmalloc.regions.count"), count + 1);
    EXPECT_EQ(FreshNumber("spanmalloc.regions.used"), used + 40 * kMiB);
    EXPECT_GE(FreshNumber("spanmalloc.regions.committed"), used + 40 * kMiB);
    EXPECT_GE(FreshNumber("spanmalloc.regions.reserved"), size_t{8} << 30);
    EXPECT_NEAR(static_cast<double>(FreshNumber<int64_t>("spanmalloc.rss.regions") - resident),
                20. * kMiB, 2. * kMiB);
    EXPECT_LT(FreshNumber("stats.allocated"), allocated + kMiB)
        << "regions are no part of the heap";
    int64_t sum = 0;
    for (const char* row : {"small_live", "thread_caches", "cpu_lists", "span_free", "span_ends",
                            "small_absent", "large_live", "large_absent", "free_pages", "regions",
                            "metadata", "library", "outside"}) {
      int64_t value = 0;
      size_t length = sizeof(value);
      EXPECT_EQ(
          mallctl((std::string("spanmalloc.rss.") + row).c_str(), &value, &length, nullptr, 0), 0);
      sum += value;
    }
    int64_t process = 0;
    size_t length = sizeof(process);
    EXPECT_EQ(mallctl("spanmalloc.rss.process", &process, &length, nullptr, 0), 0);
    EXPECT_EQ(sum, process);
    region.reset();
    EXPECT_NEAR(static_cast<double>(region.trim(5 * kMiB)), 15. * kMiB, 2. * kMiB);
    EXPECT_NEAR(static_cast<double>(FreshNumber<int64_t>("spanmalloc.rss.regions") - resident),
                5. * kMiB, 2. * kMiB);
  }
  EXPECT_EQ(FreshNumber("spanmalloc.regions.count"), count);
  EXPECT_EQ(FreshNumber("spanmalloc.regions.used"), used);
}

TEST(RegionTest, UnknownFlagsAreRefused) {
  for (int flags : {2, 4, -1, 1 << 30 | SPANMALLOC_REGION_SHARED}) {
    errno = 0;
    EXPECT_EQ(spanmalloc_region_create(1 << 20, flags), nullptr) << flags;
    EXPECT_EQ(errno, EINVAL);
  }
}

TEST(RegionTest, AnAlignmentThatIsNoPowerOfTwoIsRefused) {
  for (int flags : {0, SPANMALLOC_REGION_SHARED}) {
    spanmalloc_region* region = spanmalloc_region_create(1 << 20, flags);
    char* first = static_cast<char*>(spanmalloc_region_allocate(region, 10, 1));
    for (size_t alignment : {size_t{0}, size_t{3}, size_t{24}, size_t{4097}, ~size_t{0}}) {
      for (size_t size : {size_t{0}, size_t{1}, size_t{5000}}) {
        errno = 0;
        EXPECT_EQ(spanmalloc_region_allocate(region, size, alignment), nullptr) << alignment;
        EXPECT_EQ(errno, EINVAL);
        errno = 0;
        EXPECT_EQ(spanmalloc_region_allocate_slow(region, size, alignment), nullptr) << alignment;
        EXPECT_EQ(errno, EINVAL);
      }
    }
    EXPECT_EQ(spanmalloc_region_allocate(region, 1, 1), first + 10) << "nothing was handed out";
    spanmalloc_region_destroy(region);
  }
}

}  // namespace

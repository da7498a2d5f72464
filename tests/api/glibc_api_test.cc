// SPDX-License-Identifier: Apache-2.0
//
// glibc's extensions: numbers that agree with what the test itself counts and with what the kernel
// says, and parameters that do what they are documented to do.
#include <gtest/gtest.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "tests/api/heap_use.h"

namespace {

using spanmalloc::Hide;
using spanmalloc::kMiB;
using spanmalloc::UseAndFree64MiB;

void* blocks[20000];

// The memory of the mapping that contains `address`, by the page tables.
size_t ResidentAround(const void* address) {
  FILE* file = fopen("/proc/self/smaps", "r");
  char line[512];
  bool here = false;
  size_t resident = 0;
  while (fgets(line, sizeof(line), file) != nullptr) {
    unsigned long begin = 0;
    unsigned long end = 0;
    unsigned long kib = 0;
    if (sscanf(line, "%lx-%lx", &begin, &end) == 2) {
      // All mappings of the heap's part of the address space.
      here = begin >> 42 == reinterpret_cast<uintptr_t>(address) >> 42;
    } else if (here && sscanf(line, "Rss: %lu kB", &kib) == 1) {
      resident += kib << 10;
    }
  }
  fclose(file);
  return resident;
}

TEST(Mallinfo, CountsWhatTheProgramHolds) {
  const struct mallinfo2 before = mallinfo2();
  size_t small = 0;
  size_t large = 0;
  size_t large_blocks = 0;
  size_t n = 0;
  for (void*& block : blocks) {
    const size_t size = ++n % 500 == 0 ? 700000 : 16 + n * 37 % 3000;
    block = malloc(size);
    memset(block, 1, size);
    (size > 262144 ? large : small) += malloc_usable_size(block);
    large_blocks += size > 262144;
  }
  const struct mallinfo2 full = mallinfo2();
  EXPECT_EQ(full.uordblks - before.uordblks, small);
  EXPECT_EQ(full.hblkhd - before.hblkhd, large);
  EXPECT_EQ(full.hblks - before.hblks, large_blocks);
  EXPECT_EQ(full.arena, full.uordblks + full.fordblks);
  EXPECT_LE(full.keepcost, full.fordblks);
  EXPECT_LE(full.fsmblks, full.fordblks);
  // What isn't resident of it was never written, and in spans that aren't full.
  EXPECT_LE(ResidentAround(blocks[0]), full.arena + full.hblkhd);
  EXPECT_GE(ResidentAround(blocks[0]) + 2 * kMiB, full.uordblks + full.hblkhd);

  for (void* block : blocks) free(block);
  const struct mallinfo2 empty = mallinfo2();
  EXPECT_EQ(empty.uordblks, before.uordblks);
  EXPECT_EQ(empty.hblkhd, before.hblkhd);
  EXPECT_GT(empty.fordblks, full.fordblks);
  malloc_trim(0);
  EXPECT_EQ(mallinfo2().keepcost, 0u);
  EXPECT_LT(mallinfo2().arena, full.arena);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
TEST(Mallinfo, IntsSaturate) {
  const struct mallinfo narrow = mallinfo();
  const struct mallinfo2 wide = mallinfo2();
  EXPECT_EQ(static_cast<size_t>(narrow.uordblks), wide.uordblks);
  EXPECT_EQ(static_cast<size_t>(narrow.arena), wide.arena);
  void* huge = Hide(malloc(size_t{5} << 30));
  ASSERT_NE(huge, nullptr);
  EXPECT_EQ(mallinfo().hblkhd, INT_MAX);
  free(huge);
}
#pragma GCC diagnostic pop

// With what glibc returns, whatever its manual says.
TEST(MallocInfo, RefusesOptions) {
  for (int options : {1, -1}) {
    errno = 0;
    EXPECT_EQ(malloc_info(options, stderr), EINVAL);
    EXPECT_EQ(errno, EINVAL);
  }
}

TEST(MallocInfo, TakesLittleOfTheStack) {
  FILE* stream = fopen("/dev/null", "w");
  const auto print = [](void* argument) -> void* {
    return malloc_info(0, static_cast<FILE*>(argument)) == 0 ? argument : nullptr;
  };
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN), 0);
  pthread_t thread;
  void* result = nullptr;
  ASSERT_EQ(pthread_create(&thread, &attributes, print, stream), 0);
  ASSERT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, stream);
  pthread_attr_destroy(&attributes);
  fclose(stream);
}

TEST(MallocStats, PrintsGlibcsLines) {
  testing::internal::CaptureStderr();
  malloc_stats();
  const std::string text = testing::internal::GetCapturedStderr();
  size_t at = 0;
  for (const char* line : {"Arena 0:\n", "system bytes     = ", "in use bytes     = ",
                           "Total (incl. mmap):\n", "system bytes     = ", "in use bytes     = ",
                           "mmap regions     = ", "mmap bytes       = "}) {
    at = text.find(line, at);
    ASSERT_NE(at, std::string::npos) << line << " is missing in\n" << text;
  }
}

TEST(Mallopt, AcceptsWhatGlibcAccepts) {
  for (const int parameter : {M_TOP_PAD, M_MMAP_MAX, M_CHECK_ACTION, M_ARENA_TEST, M_ARENA_MAX}) {
    EXPECT_EQ(mallopt(parameter, 1), 1) << parameter;
  }
  EXPECT_EQ(mallopt(M_MXFAST, 64), 1);
  EXPECT_EQ(mallopt(M_MXFAST, 1 << 20), 0);
  EXPECT_EQ(mallopt(M_MMAP_THRESHOLD, 1 << 20), 1);
  EXPECT_EQ(mallopt(M_MMAP_THRESHOLD, INT_MAX), 0);
  EXPECT_EQ(mallopt(12345, 1), 0);
}

// What malloc_trim could give back, once it is at most `bound` or some seconds have passed in which
// the program goes on allocating.
size_t FreeOnceAtMost(size_t bound) {
  size_t free_bytes = 0;
  for (int i = 0; i < 200; ++i) {
    free(Hide(malloc(kMiB)));
    free_bytes = mallinfo2().keepcost;
    if (free_bytes <= bound) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  return free_bytes;
}

TEST(Mallopt, TheTrimThresholdBoundsFreeMemory) {
  EXPECT_EQ(mallopt(M_TRIM_THRESHOLD, -1), 1);  // never
  malloc_trim(0);
  UseAndFree64MiB();
  EXPECT_GE(mallinfo2().keepcost, 64 * kMiB);
  EXPECT_EQ(mallopt(M_TRIM_THRESHOLD, 16 << 20), 1);
  UseAndFree64MiB();
  EXPECT_LE(FreeOnceAtMost(17 * kMiB), 17 * kMiB);
  EXPECT_GE(mallinfo2().keepcost, 10 * kMiB);
  // Very little is no less than what the heap works with.
  EXPECT_EQ(mallopt(M_TRIM_THRESHOLD, 0), 1);
  UseAndFree64MiB();
  EXPECT_LE(FreeOnceAtMost(5 * kMiB), 5 * kMiB);
  EXPECT_GE(mallinfo2().keepcost, 2 * kMiB);
}

// All of a block's bytes.
bool IsFilled(const void* block, unsigned char byte) {
  const auto* bytes = static_cast<const volatile unsigned char*>(block);
  for (size_t i = 0; i < 100; ++i) {
    if (bytes[i] != byte) return false;
  }
  return true;
}

TEST(Mallopt, PerturbFillsBlocks) {
  ASSERT_EQ(mallopt(M_PERTURB, 0x5a), 1);
  for (const size_t size : {size_t{100}, size_t{5000}, size_t{300000}, 3 * kMiB}) {
    void* block = Hide(malloc(size));
    EXPECT_TRUE(IsFilled(block, 0xa5)) << size;
    memset(block, 1, size);
    if (size < 300000) {
      void* freed = block;
      free(block);
      EXPECT_TRUE(IsFilled(Hide(freed), 0x5a)) << size;
    } else {
      free(block);
    }
    void* zeros = Hide(calloc(1, size));
    EXPECT_TRUE(IsFilled(zeros, 0)) << size;
    memset(zeros, 7, 100);
    zeros = realloc(zeros, 2 * size);
    EXPECT_TRUE(IsFilled(zeros, 7)) << size;
    free(zeros);
    void* aligned = Hide(aligned_alloc(128, size));
    EXPECT_TRUE(IsFilled(aligned, 0xa5)) << size;
    free(aligned);
  }
  EXPECT_EQ(mallopt(M_PERTURB, 0), 1);
  void* block = Hide(malloc(100));
  memset(block, 1, 100);
  free(block);
  EXPECT_FALSE(IsFilled(Hide(block), 0x5a));
}

TEST(Mallopt, PerturbIsRefusedBesideOtherCaches) {
  std::mutex mutex;
  std::condition_variable changed;
  bool allocated = false;
  bool done = false;
  std::thread other([&] {
    free(Hide(malloc(100)));
    std::unique_lock lock(mutex);
    allocated = true;
    changed.notify_all();
    changed.wait(lock, [&] { return done; });
  });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return allocated; });
    EXPECT_EQ(mallopt(M_PERTURB, 0x5a), 0);
    done = true;
    changed.notify_all();
  }
  other.join();
  void* block = Hide(malloc(100));
  EXPECT_FALSE(IsFilled(block, 0xa5));
  free(block);
}

}  // namespace

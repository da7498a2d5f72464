// SPDX-License-Identifier: Apache-2.0
//
// spanmalloc's own functions. Blocks come from mallocx, which the compiler can't leave out.
#include <gtest/gtest.h>
#include <malloc.h>
#include <spanmalloc/spanmalloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace {

size_t ResidentBytes() {
  size_t total = 0;
  size_t resident = 0;
  FILE* statm = fopen("/proc/self/statm", "r");
  EXPECT_EQ(fscanf(statm, "%zu %zu", &total, &resident), 2);
  fclose(statm);
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

TEST(Version, HasThreeNumbers) {
  int major = -1;
  int minor = -1;
  int patch = -1;
  char rest = 0;
  const int found =
      sscanf(spanmalloc_version(), "%d.%d.%d%c", &major, &minor, &patch, &rest);  // NOLINT
  EXPECT_EQ(found, 3) << spanmalloc_version();
  EXPECT_EQ(spanmalloc_version(), spanmalloc_version());
}

TEST(ReleaseFreeMemory, GivesFreedMemoryBackToTheKernel) {
  constexpr size_t kBlocks = 40000;
  constexpr size_t kSize = 1000;
  std::vector<void*> blocks(kBlocks);
  for (void*& block : blocks) {
    block = mallocx(kSize, 0);
    memset(block, 1, kSize);
  }
  const size_t before = ResidentBytes();
  for (void* block : blocks) dallocx(block, 0);
  spanmalloc_release_free_memory();
  EXPECT_LT(ResidentBytes(), before - kBlocks * kSize * 9 / 10);
}

TEST(ReleaseFreeMemory, ReturnsTheBytesGivenBack) {
  spanmalloc_release_free_memory();
  constexpr size_t kSize = size_t{8} << 20;
  void* block = mallocx(kSize, 0);
  memset(block, 1, kSize);
  dallocx(block, 0);
  const size_t released = spanmalloc_release_free_memory();
  const size_t nothing_left = spanmalloc_release_free_memory();
  EXPECT_GE(released, kSize);
  EXPECT_LT(released, 2 * kSize);
  EXPECT_EQ(nothing_left, 0u);
}

size_t ThreadCached() {
  uint64_t epoch = 1;
  size_t cached = 0;
  size_t length = sizeof(cached);
  EXPECT_EQ(mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch)), 0);
  EXPECT_EQ(mallctl("spanmalloc.thread_cached", &cached, &length, nullptr, 0), 0);
  return cached;
}

TEST(FlushThreadCache, LeavesNothingInThisThreadsCache) {
  void* blocks[64];
  for (void*& block : blocks) block = mallocx(48, 0);
  for (void* block : blocks) dallocx(block, 0);
  const size_t cached = ThreadCached();
  spanmalloc_flush_thread_cache();
  const size_t cached_after = ThreadCached();
  EXPECT_GT(cached, 0u);
  EXPECT_EQ(cached_after, 0u);
}

TEST(FlushThreadCache, MayBeCalledBeforeAThreadAllocates) {
  std::thread([] {
    spanmalloc_flush_thread_cache();
    dallocx(mallocx(10, 0), 0);
    spanmalloc_flush_thread_cache();
  }).join();
}

}  // namespace

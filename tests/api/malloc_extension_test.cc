// SPDX-License-Identifier: Apache-2.0
//
// gperftools' C functions: every number agrees with what the test itself counts, with what the
// kernel says, or with the other numbers.
#include <gtest/gtest.h>
#include <malloc.h>
#include <spanmalloc/malloc_extension_c.h>
#include <spanmalloc/spanmalloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "tests/api/heap_use.h"

namespace {

using spanmalloc::Hide;
using spanmalloc::kMiB;
using spanmalloc::UseAndFree64MiB;

size_t Property(const char* name) {
  size_t value = 0;
  EXPECT_EQ(MallocExtension_GetNumericProperty(name, &value), 1) << name;
  return value;
}

// The anonymous memory of the process, by the page tables.
size_t Resident() {
  static char text[8192];
  FILE* file = fopen("/proc/self/smaps_rollup", "r");
  if (file == nullptr) return 0;
  const size_t length = fread(text, 1, sizeof(text) - 1, file);
  fclose(file);
  text[length] = '\0';
  const char* line = strstr(text, "\nAnonymous:");
  return line == nullptr ? 0 : strtoul(line + 11, nullptr, 10) << 10;
}

// Blocks of many sizes, each written to, and their usable bytes.
struct Blocks {
  explicit Blocks(size_t count) {
    blocks.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      const size_t size = i % 500 == 0 ? 700000 : 16 + i * 37 % 3000;
      blocks.push_back(Hide(malloc(size)));
      memset(blocks.back(), 1, size);
      bytes += malloc_usable_size(blocks.back());
    }
  }
  ~Blocks() { Free(); }
  void Free() {
    for (void* block : blocks) free(block);
    blocks.clear();
  }
  std::vector<void*> blocks;
  size_t bytes = 0;
};

TEST(MallocExtension, AllocatedBytesAreWhatTheProgramHolds) {
  const size_t before = Property("generic.current_allocated_bytes");
  Blocks blocks(20000);
  const size_t array = malloc_usable_size(blocks.blocks.data());
  EXPECT_EQ(Property("generic.current_allocated_bytes") - before, blocks.bytes + array);
  blocks.Free();
  EXPECT_EQ(Property("generic.current_allocated_bytes") - before, array);
}

TEST(MallocExtension, TheHeapIsTheSumOfItsParts) {
  Blocks blocks(20000);
  for (size_t i = 0; i < blocks.blocks.size(); i += 3) {
    free(blocks.blocks[i]);
    blocks.blocks[i] = nullptr;
  }
  EXPECT_EQ(Property("generic.heap_size"), Property("generic.current_allocated_bytes") +
                                               Property("tcmalloc.thread_cache_free_bytes") +
                                               Property("tcmalloc.transfer_cache_free_bytes") +
                                               Property("tcmalloc.central_cache_free_bytes") +
                                               Property("tcmalloc.pageheap_free_bytes") +
                                               Property("tcmalloc.pageheap_unmapped_bytes"));
  EXPECT_EQ(Property("tcmalloc.slack_bytes"), Property("tcmalloc.pageheap_free_bytes") +
                                                  Property("tcmalloc.pageheap_unmapped_bytes"));
  EXPECT_EQ(Property("tcmalloc.pageheap_committed_bytes"),
            Property("generic.heap_size") - Property("tcmalloc.pageheap_unmapped_bytes"));
  EXPECT_EQ(Property("tcmalloc.current_total_thread_cache_bytes"),
            Property("tcmalloc.thread_cache_free_bytes"));
  EXPECT_GE(Property("tcmalloc.impl.thread_cache_count"), 1u);
}

TEST(MallocExtension, UnknownPropertiesAreUnknown) {
  size_t value = 7;
  EXPECT_EQ(MallocExtension_GetNumericProperty("generic.nothing", &value), 0);
  EXPECT_EQ(MallocExtension_GetNumericProperty("", &value), 0);
  EXPECT_EQ(value, 7u);
  EXPECT_EQ(MallocExtension_SetNumericProperty("generic.heap_size", 1), 0);
  EXPECT_EQ(MallocExtension_SetNumericProperty("generic.nothing", 1), 0);
}

TEST(MallocExtension, FreeMemoryGoesBack) {
  Blocks blocks(60000);
  const size_t full = Resident();
  ASSERT_GT(full, 50 * kMiB);
  blocks.Free();
  const size_t unmapped = Property("tcmalloc.pageheap_unmapped_bytes");
  MallocExtension_ReleaseFreeMemory();
  const size_t told = Property("tcmalloc.pageheap_unmapped_bytes") - unmapped;
  const size_t fell = full - Resident();
  EXPECT_GT(fell, 50 * kMiB);
  EXPECT_GT(told + 2 * kMiB, fell);
  EXPECT_EQ(Property("tcmalloc.pageheap_free_bytes"), 0u);
  // What is resident is at most what counts as physical.
  EXPECT_LE(Property("generic.total_physical_bytes"), Property("generic.heap_size"));
}

TEST(MallocExtension, AsMuchGoesBackAsIsAskedFor) {
  MallocExtension_SetMemoryReleaseRate(0);
  UseAndFree64MiB();
  const size_t before = Property("tcmalloc.pageheap_free_bytes");
  ASSERT_GE(before, 64 * kMiB);
  const size_t full = Resident();
  MallocExtension_ReleaseToSystem(16 * kMiB);
  const size_t fell = full - Resident();
  const size_t released = before - Property("tcmalloc.pageheap_free_bytes");
  EXPECT_GE(fell, 15 * kMiB);
  EXPECT_LE(fell, 20 * kMiB);
  EXPECT_GE(released, 14 * kMiB);
  EXPECT_LE(released, 20 * kMiB);
  MallocExtension_ReleaseToSystem(0);
  EXPECT_EQ(before - Property("tcmalloc.pageheap_free_bytes"), released);
  MallocExtension_ReleaseToSystem(SIZE_MAX);
  EXPECT_EQ(Property("tcmalloc.pageheap_free_bytes"), 0u);
  MallocExtension_SetMemoryReleaseRate(1);
}

TEST(MallocExtension, TheReleaseRateIsTheDecay) {
  const auto decay = [] {
    int64_t ms = 0;
    size_t length = sizeof(ms);
    EXPECT_EQ(mallctl("arena.0.dirty_decay_ms", &ms, &length, nullptr, 0), 0);
    return ms;
  };
  EXPECT_EQ(MallocExtension_GetMemoryReleaseRate(), 1.0);
  MallocExtension_SetMemoryReleaseRate(10);
  EXPECT_EQ(decay(), 200);
  EXPECT_EQ(MallocExtension_GetMemoryReleaseRate(), 10.0);
  for (const double never : {0.0, -1.0, __builtin_nan("")}) {
    MallocExtension_SetMemoryReleaseRate(never);
    EXPECT_EQ(decay(), -1);
    EXPECT_EQ(MallocExtension_GetMemoryReleaseRate(), 0.0);
  }
  MallocExtension_SetMemoryReleaseRate(1e300);
  EXPECT_EQ(decay(), 0);
  EXPECT_EQ(Property("tcmalloc.aggressive_memory_decommit"), 1u);
  EXPECT_EQ(MallocExtension_SetNumericProperty("tcmalloc.aggressive_memory_decommit", 0), 1);
  EXPECT_EQ(decay(), 2000);
  EXPECT_EQ(MallocExtension_SetNumericProperty("tcmalloc.aggressive_memory_decommit", 1), 1);
  EXPECT_EQ(decay(), 0);
  MallocExtension_SetMemoryReleaseRate(1);
  EXPECT_EQ(decay(), 2000);
}

TEST(MallocExtension, TheBudgetOfThreadCachesCanBeSet) {
  const size_t before = Property("tcmalloc.max_total_thread_cache_bytes");
  EXPECT_GE(before, 4 * kMiB);
  // Returns how much a fresh thread caches at most while it churns.
  const auto cached = [] {
    size_t most = 0;
    std::thread([&] {
      std::vector<void*> blocks(3000);
      for (int round = 0; round < 40; ++round) {
        for (void*& block : blocks) block = Hide(malloc(1000));
        for (void* block : blocks) free(block);
        const size_t now = MallocExtension_GetThreadCacheSize();
        if (now > most) most = now;
      }
    }).join();
    return most;
  };
  const size_t much = cached();
  EXPECT_EQ(MallocExtension_SetNumericProperty("tcmalloc.max_total_thread_cache_bytes", 0), 1);
  EXPECT_EQ(Property("tcmalloc.max_total_thread_cache_bytes"), 0u);
  const size_t little = cached();
  EXPECT_LT(little * 2, much);
  EXPECT_EQ(MallocExtension_SetNumericProperty("tcmalloc.max_total_thread_cache_bytes", SIZE_MAX),
            1);
  EXPECT_EQ(MallocExtension_SetNumericProperty("tcmalloc.max_total_thread_cache_bytes", before), 1);
  EXPECT_EQ(Property("tcmalloc.max_total_thread_cache_bytes"), before);
}

TEST(MallocExtension, TheHeapLimitIsTheHardLimit) {
  EXPECT_EQ(Property("tcmalloc.heap_limit_mb"), 0u);
  EXPECT_EQ(MallocExtension_SetNumericProperty("tcmalloc.heap_limit_mb", 512), 1);
  EXPECT_EQ(Property("tcmalloc.heap_limit_mb"), 512u);
  EXPECT_EQ(Hide(malloc(600 * kMiB)), nullptr);
  EXPECT_EQ(MallocExtension_SetNumericProperty("tcmalloc.heap_limit_mb", SIZE_MAX), 0);
  EXPECT_EQ(MallocExtension_SetNumericProperty("tcmalloc.heap_limit_mb", 0), 1);
  void* block = Hide(malloc(600 * kMiB));
  EXPECT_NE(block, nullptr);
  free(block);
}

TEST(MallocExtension, AnIdleThreadHoldsNothing) {
  free(Hide(malloc(100)));
  free(Hide(malloc(5000)));
  EXPECT_GE(MallocExtension_GetThreadCacheSize(), 5100u);
  MallocExtension_MarkThreadIdle();
  EXPECT_EQ(MallocExtension_GetThreadCacheSize(), 0u);
  MallocExtension_MarkThreadBusy();
  free(Hide(malloc(100)));
  EXPECT_GT(MallocExtension_GetThreadCacheSize(), 0u);
  MallocExtension_MarkThreadTemporarilyIdle();
  EXPECT_EQ(MallocExtension_GetThreadCacheSize(), 0u);
}

TEST(MallocExtension, SizesAreThoseOfBlocks) {
  for (size_t size : {0, 1, 16, 17, 1000, 4097, 262144, 262145, 5000000}) {
    void* block = Hide(malloc(size));
    EXPECT_EQ(MallocExtension_GetEstimatedAllocatedSize(size), malloc_usable_size(block)) << size;
    EXPECT_EQ(MallocExtension_GetAllocatedSize(block), malloc_usable_size(block)) << size;
    free(block);
  }
  EXPECT_EQ(MallocExtension_GetAllocatedSize(nullptr), 0u);
  EXPECT_GE(MallocExtension_GetEstimatedAllocatedSize(SIZE_MAX), SIZE_MAX);
}

TEST(MallocExtension, BlocksAreToldFromOtherMemory) {
  int on_stack = 0;
  static int in_data = 0;
  for (size_t size : {1, 100, 5000, 300000, 5000000}) {
    auto* block = static_cast<char*>(Hide(malloc(size)));
    EXPECT_EQ(MallocExtension_GetOwnership(block), MallocExtension_kOwned) << size;
    for (auto* verify : {MallocExtension_VerifyNewMemory, MallocExtension_VerifyArrayNewMemory,
                         MallocExtension_VerifyMallocMemory}) {
      EXPECT_EQ(verify(block), 1) << size;
      EXPECT_EQ(verify(block + 8), 0) << size;
      EXPECT_EQ(verify(nullptr), 1);
      EXPECT_EQ(verify(&on_stack), 0);
    }
    free(block);
  }
  EXPECT_EQ(MallocExtension_GetOwnership(&on_stack), MallocExtension_kNotOwned);
  EXPECT_EQ(MallocExtension_GetOwnership(&in_data), MallocExtension_kNotOwned);
  EXPECT_EQ(MallocExtension_GetOwnership(nullptr), MallocExtension_kNotOwned);
  EXPECT_EQ(MallocExtension_GetOwnership(reinterpret_cast<void*>(UINTPTR_MAX)),
            MallocExtension_kNotOwned);
  EXPECT_EQ(MallocExtension_VerifyAllMemory(), 1);
}

TEST(MallocExtension, TheHistogramCountsBlocks) {
  using Histogram = std::array<int, kMallocExtensionHistogramSize>;
  Histogram before;
  Histogram after;
  int blocks_before = 0;
  int blocks_after = 0;
  size_t total_before = 0;
  size_t total_after = 0;
  static void* small[1000];
  static void* large[10];
  EXPECT_EQ(MallocExtension_MallocMemoryStats(&blocks_before, &total_before, before.data()), 1);
  for (void*& block : small) block = malloc(1000);     // 1024 bytes: histogram[11]
  for (void*& block : large) block = malloc(3 << 20);  // the only large ones: histogram[22]
  EXPECT_EQ(MallocExtension_MallocMemoryStats(&blocks_after, &total_after, after.data()), 1);
  EXPECT_EQ(blocks_after - blocks_before, 1010);
  EXPECT_EQ(total_after - total_before, 1000 * size_t{1024} + 10 * (size_t{3} << 20));
  EXPECT_EQ(after[11] - before[11], 1000);
  EXPECT_EQ(after[22] - before[22], 10);
  int sum = 0;
  for (const int count : after) sum += count;
  EXPECT_EQ(sum, blocks_after);
  for (void* block : small) free(block);
  for (void* block : large) free(block);
}

TEST(MallocExtension, TheSummaryFitsItsBuffer) {
  char text[4096];
  MallocExtension_GetStats(text, sizeof(text));
  size_t at = 0;
  const std::string all = text;
  for (const char* line : {"Bytes in use by application", "Bytes in page heap freelist",
                           "Bytes in central cache freelist", "Bytes in transfer cache freelist",
                           "Bytes in thread cache freelists", "Bytes in malloc metadata",
                           "Actual memory used (physical + swap)",
                           "Bytes released to OS (aka unmapped)", "Virtual address space used",
                           "Spans in use", "Thread heaps in use", "Tcmalloc page size"}) {
    at = all.find(line, at);
    ASSERT_NE(at, std::string::npos) << line << " is missing in\n" << all;
  }
  memset(text, 'x', sizeof(text));
  MallocExtension_GetStats(text, 10);
  EXPECT_EQ(strlen(text), 9u);
  EXPECT_EQ(text[10], 'x');
  text[0] = 'x';
  MallocExtension_GetStats(text, 0);
  EXPECT_EQ(text[0], 'x');
}

}  // namespace

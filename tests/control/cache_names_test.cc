// SPDX-License-Identifier: Apache-2.0
//
// spanmalloc.cpus.*, thread_caches.*, thread.cache.* and arenas.*.huge_pages.*: what is in each
// cache, and how huge pages are used, compared with what the test itself has put there.
#include <sched.h>
#include <string.h>

#include <cstdio>
#include <string>
#include <vector>

#include "allocator/os/process_memory.h"
#include "tests/control/control_test.h"
#include "tests/support/pin_to_cpu.h"

namespace spanmalloc {
namespace {

constexpr SizeClass kClass = 5;
constexpr size_t kSize = kSizeClassTable[kClass].size;

class CacheNamesTest : public ControlTest {
 protected:
  // Of the CPU that the thread is on.
  static std::string OnCpu(int cpu, const std::string& name) {
    return "spanmalloc.cpus." + std::to_string(cpu) + "." + name;
  }
  static std::string OfClass(int cpu, const std::string& name) {
    return OnCpu(cpu, "classes." + std::to_string(kClass - 1) + "." + name);
  }
  static std::string Caches(const std::string& name) {
    return "spanmalloc.thread_caches.classes." + std::to_string(kClass - 1) + "." + name;
  }
  std::vector<void*> Take(size_t count) {
    std::vector<void*> objects(count);
    for (size_t done = 0; done < count;) {
      const size_t left = count - done;
      const size_t got = heap_->central.Remove(kClass, objects.data() + done, left < 8 ? left : 8);
      EXPECT_NE(got, 0u);
      done += got;
    }
    return objects;
  }
};

TEST_F(CacheNamesTest, ACpusListsHaveWhatWasPutThere) {
  PinToCpu pin(0);
  if (!pin.pinned()) GTEST_SKIP();
  const int cpu = sched_getcpu();
  std::vector<void*> objects = Take(8);
  heap_->central.Insert(kClass, objects.data(), 7);
  NextEpoch();
  for (const auto& at : {OnCpu(cpu, ""), OfClass(cpu, "")}) {
    EXPECT_EQ(Read<size_t>(at + "objects"), 7u);
    EXPECT_EQ(Read<size_t>(at + "bytes"), 7 * kSize);
    EXPECT_EQ(Read<size_t>(at + "span_free"), (ShapeOf(kClass).objects - 8) * kSize);
    EXPECT_EQ(Read<size_t>(at + "spans"), 1u);
    EXPECT_EQ(Read<uint64_t>(at + "taken"), 8u);
    EXPECT_EQ(Read<uint64_t>(at + "returned"), 7u);
    EXPECT_EQ(Read<uint64_t>(at + "fills"), 1u);
    EXPECT_EQ(Read<uint64_t>(at + "flushes"), 1u);
    EXPECT_EQ(Read<uint64_t>(at + "spans_made"), 1u);
    EXPECT_EQ(Read<uint64_t>(at + "fills_away"), 0u);
    EXPECT_EQ(Read<uint64_t>(at + "spills"), 0u);
    EXPECT_EQ(Read<uint64_t>(at + "lock.num_wait"), 0u);
  }
  EXPECT_EQ(Read<size_t>("spanmalloc.central_cached"), 7 * kSize);
  EXPECT_EQ(Read<size_t>(OnCpu(cpu, "classes.0.taken")), 0u);
  // Of the epoch, until the next one.
  heap_->central.Insert(kClass, objects.data() + 7, 1);
  EXPECT_EQ(Read<size_t>(OnCpu(cpu, "objects")), 7u);
  const auto locked = Read<uint64_t>(OfClass(cpu, "lock.num_ops"));
  NextEpoch();
  EXPECT_EQ(Read<size_t>(OnCpu(cpu, "objects")), 8u);
  EXPECT_EQ(Read<uint64_t>(OfClass(cpu, "lock.num_ops")), locked + 2) << "and to be counted";
  EXPECT_EQ(Do("stats.mutexes.reset"), 0);
  NextEpoch();
  EXPECT_EQ(Read<uint64_t>(OfClass(cpu, "lock.num_ops")), 1u);
}

TEST_F(CacheNamesTest, ABatchThatFindsTheArrayFullSpills) {
  PinToCpu pin(0);
  if (!pin.pinned()) GTEST_SKIP();
  const size_t limit = kSizeClassTable[kClass].central_limit;
  std::vector<void*> objects = Take(limit + 30);
  heap_->central.Insert(kClass, objects.data(), limit);
  NextEpoch();
  EXPECT_EQ(Read<uint64_t>(OfClass(sched_getcpu(), "spills")), 0u);
  heap_->central.Insert(kClass, objects.data() + limit, 30);
  NextEpoch();
  EXPECT_EQ(Read<uint64_t>(OfClass(sched_getcpu(), "spills")), 1u);
  EXPECT_EQ(Read<size_t>(OfClass(sched_getcpu(), "objects")), limit);
}

TEST_F(CacheNamesTest, WhatAnotherCpuTakesIsCountedWhereItWas) {
  int first;
  std::vector<void*> objects;
  {
    PinToCpu pin(0);
    if (!pin.pinned()) GTEST_SKIP();
    first = sched_getcpu();
    objects = Take(200);
    heap_->central.Insert(kClass, objects.data(), objects.size());
  }
  PinToCpu pin(1);
  if (!pin.pinned()) GTEST_SKIP();
  const size_t got = heap_->central.Remove(kClass, objects.data(), 8);
  ASSERT_NE(got, 0u);
  NextEpoch();
  EXPECT_EQ(Read<uint64_t>(OfClass(first, "fills_away")), 1u);
  EXPECT_EQ(Read<size_t>(OfClass(first, "objects")), 200 - got);
  EXPECT_EQ(Read<uint64_t>(OfClass(sched_getcpu(), "fills")), 0u);
  size_t bytes = 0;
  size_t span_free = 0;
  for (size_t cpu = 0; cpu < heap_->central.shards(); ++cpu) {
    bytes += Read<size_t>(OnCpu(static_cast<int>(cpu), "bytes"));
    span_free += Read<size_t>(OnCpu(static_cast<int>(cpu), "span_free"));
  }
  EXPECT_EQ(bytes, Read<size_t>("spanmalloc.central_cached"));
  EXPECT_EQ(span_free, Read<size_t>("spanmalloc.span_free"));
}

TEST_F(CacheNamesTest, CpusWithoutListsHaveNoNames) {
  EXPECT_EQ(Do("spanmalloc.cpus.0.objects"), ENOENT);
  Take(1);
  EXPECT_EQ(Do("spanmalloc.cpus." + std::to_string(heap_->central.shards()) + ".objects"), ENOENT);
  EXPECT_EQ(Do("spanmalloc.cpus.0.objects"), 0);
}

TEST_F(CacheNamesTest, ThreadCachesHoldWhatCanBePopped) {
  ThreadState* threads[] = {heap_->registry.Create(), heap_->registry.Create()};
  bool zeroed;
  for (int i = 0; i < 3; ++i) ASSERT_NE(threads[0]->Refill(kClass, &zeroed), nullptr);
  ASSERT_NE(threads[1]->Refill(kClass, &zeroed), nullptr);
  NextEpoch();
  size_t objects = 0;
  size_t limit = 0;
  for (ThreadState* thread : threads) {
    while (thread->cache.Pop(kClass) != nullptr) ++objects;
    limit += static_cast<size_t>(thread->cache.limit[kClass] - thread->cache.top[kClass]);
  }
  EXPECT_GT(objects, 0u);
  EXPECT_GT(limit, objects);
  for (const auto& at : {std::string("spanmalloc.thread_caches."), Caches("")}) {
    EXPECT_EQ(Read<size_t>(at + "objects"), objects);
    EXPECT_EQ(Read<size_t>(at + "bytes"), objects * kSize);
    EXPECT_EQ(Read<size_t>(at + "limit"), limit);
    EXPECT_EQ(Read<size_t>(at + "limit_bytes"), limit * kSize);
  }
  EXPECT_EQ(Read<size_t>("spanmalloc.thread_cached"), objects * kSize);
  EXPECT_EQ(Read<int64_t>("spanmalloc.thread_caches.budget"), heap_->budget.total());
  EXPECT_EQ(Read<int64_t>("spanmalloc.thread_caches.budget_left"), heap_->budget.left());
  EXPECT_LE(limit * kSize, static_cast<size_t>(heap_->budget.total() - heap_->budget.left()));
  for (ThreadState* thread : threads) heap_->registry.Destroy(thread);
  NextEpoch();
  EXPECT_EQ(Read<size_t>("spanmalloc.thread_caches.limit"), 0u);
  EXPECT_EQ(Read<int64_t>("spanmalloc.thread_caches.budget_left"), heap_->budget.total());
}

TEST_F(CacheNamesTest, CachesOfCpusHaveNamesOfTheirOwn) {
  CpuCaches& caches = heap_->registry.cpu_caches();
  NextEpoch();
  EXPECT_EQ(Read<size_t>("spanmalloc.cpu_caches.count"), 0u);
  EXPECT_EQ(Read<int64_t>("spanmalloc.cpu_caches.budget"), 0);
  if (!heap_->registry.BeginSharing()) GTEST_SKIP() << "no restartable sequences";
  PinToCpu pin(0);
  std::vector<void*> objects;
  for (int i = 0; i < 20; ++i) {
    bool zeroed;
    objects.push_back(caches.Allocate(kClass, &zeroed));
    ASSERT_NE(objects.back(), nullptr);
  }
  for (void* object : objects) {
    if (!caches.Push(kClass, object)) caches.Free(kClass, object);
  }
  NextEpoch();
  EXPECT_EQ(Read<size_t>("spanmalloc.sharing_threads"), 1u);
  EXPECT_EQ(Read<size_t>("spanmalloc.cpu_caches.count"), caches.Count());
  const auto held = Read<size_t>("spanmalloc.cpu_caches.objects");
  EXPECT_NE(held, 0u);
  EXPECT_EQ(Read<size_t>("spanmalloc.cpu_caches.bytes"), held * kSize);
  EXPECT_EQ(Read<size_t>("spanmalloc.cpu_caches.classes.4.objects"), held);
  EXPECT_EQ(Read<size_t>(Caches("objects")), held) << "all of them are a CPU's";
  const int64_t budget = heap_->budget.total() / 4;
  EXPECT_EQ(Read<int64_t>("spanmalloc.cpu_caches.budget"), budget);
  EXPECT_LE(Read<int64_t>("spanmalloc.cpu_caches.budget_left"),
            budget - static_cast<int64_t>(Read<size_t>("spanmalloc.cpu_caches.limit_bytes")));
  EXPECT_EQ(Read<int64_t>("spanmalloc.thread_caches.budget_left"), heap_->budget.total());
  caches.ReturnAll();
  heap_->registry.EndSharing();
  NextEpoch();
  EXPECT_EQ(Read<size_t>("spanmalloc.sharing_threads"), 0u);
  EXPECT_EQ(Read<size_t>("spanmalloc.cpu_caches.objects"), 0u);
}

TEST_F(CacheNamesTest, TheCallingThreadsCacheIsReadAtOnce) {
  const std::string cache = "spanmalloc.thread.cache.";
  const std::string of_class = cache + "classes." + std::to_string(kClass - 1) + ".";
  calls().own_objects = 3;
  EXPECT_EQ(Read<size_t>(cache + "objects"), 3u);
  EXPECT_EQ(Read<size_t>(of_class + "bytes"), 3 * kSize);
  calls().own_objects = 5;
  EXPECT_EQ(Read<size_t>(of_class + "objects"), 5u);
  EXPECT_EQ(Read<size_t>(of_class + "limit"), 10u);
  EXPECT_EQ(Read<size_t>(cache + "limit_bytes"), 10 * kSize);
  EXPECT_EQ(Read<size_t>(cache + "classes.0.objects"), 0u);
}

// AnonHugePages of the mappings in [begin, end), by the kernel.
size_t HugeBytesInSmaps(uintptr_t begin, uintptr_t end) {
  FILE* file = fopen("/proc/self/smaps", "r");
  char line[512];
  bool here = false;
  size_t bytes = 0;
  while (file != nullptr && fgets(line, sizeof(line), file) != nullptr) {
    unsigned long from = 0;
    unsigned long to = 0;
    unsigned long kib = 0;
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2) here = from < end && to > begin;
    if (here && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1) bytes += kib << 10;
  }
  if (file != nullptr) fclose(file);
  return bytes;
}

TEST_F(CacheNamesTest, HugePagesAreCountedByUse) {
  const std::string at = "spanmalloc.arenas.0.huge_pages.";
  NodeHeaps& heap = heap_->page_heap;
  ASSERT_NE(heap.AllocateLarge(100, kPageSize), nullptr);  // less than half of one
  NextEpoch();
  EXPECT_EQ(Read<size_t>(at + "sparse"), 1u) << "in the first, beside small objects";
  EXPECT_EQ(Read<size_t>(at + "dense"), 0u);
  ASSERT_NE(heap.AllocateLarge(250, kPageSize), nullptr);
  ASSERT_NE(heap.AllocateLarge(2 * kPagesPerHugePage + 1, kPageSize), nullptr);
  EXPECT_EQ(Read<size_t>(at + "cut"), 1u) << "of the epoch before";
  NextEpoch();
  const PageHeapStats stats = heap.Stats();
  EXPECT_EQ(Read<size_t>(at + "mapped"), stats.mapped_pages / kPagesPerHugePage);
  EXPECT_EQ(Read<size_t>(at + "cut"), 2u);
  EXPECT_EQ(Read<size_t>(at + "cut"), Read<size_t>("spanmalloc.huge_pages_cut"));
  EXPECT_EQ(Read<size_t>(at + "dense"), 1u);
  EXPECT_EQ(Read<size_t>(at + "sparse"), 1u);
  EXPECT_EQ(Read<size_t>(at + "large"), 3u);
  EXPECT_EQ(Read<size_t>(at + "free"), Read<size_t>(at + "mapped") - 5);
  EXPECT_EQ(Read<size_t>(at + "advised"), 0u);
  EXPECT_EQ(Read<size_t>(at + "declined"), Read<size_t>(at + "mapped"));
  EXPECT_EQ(Read<size_t>(at + "backed"), 0u);
  EXPECT_EQ(Do("spanmalloc.arenas.7.huge_pages.cut"), ENOENT);
}

TEST_F(CacheNamesTest, HugePagesThatComeAreWhatTheKernelSays) {
  const std::string at = "spanmalloc.arenas.0.huge_pages.";
  NodeHeaps& heap = heap_->page_heap;
  heap.SetHugePageWish(HugePageWish::kAlways);
  Span* span = heap.AllocateLarge(4 * kPagesPerHugePage, kPageSize);
  ASSERT_NE(span, nullptr);
  memset(reinterpret_cast<void*>(span->start), 1, span->bytes());
  NextEpoch();
  if (Read<size_t>(at + "advised") == 0) GTEST_SKIP() << "the kernel gives none";
  EXPECT_EQ(Read<size_t>(at + "advised"), 4u);
  EXPECT_EQ(Read<size_t>(at + "declined"), Read<size_t>(at + "mapped") - 4);
  const size_t told = HugeBytesInSmaps(span->start, span->start + span->bytes());
  if (os::HugeBytes(reinterpret_cast<void*>(span->start),
                    reinterpret_cast<void*>(span->start + span->bytes())) == 0) {
    GTEST_SKIP() << "it doesn't tell, or is short of them: " << told;
  }
  EXPECT_EQ(Read<size_t>(at + "backed"), told);
  EXPECT_EQ(Read<size_t>("spanmalloc.arenas.4096.huge_pages.backed"), told);
}

}  // namespace
}  // namespace spanmalloc

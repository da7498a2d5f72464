// SPDX-License-Identifier: Apache-2.0
//
// mallctl of the preloaded library: the numbers follow what this program allocates, and the
// actions act on it.
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace {

using Mallctl = int (*)(const char*, void*, size_t*, void*, size_t);

int Call(const char* name, void* oldp, size_t* oldlenp, void* newp, size_t newlen) {
  static const auto function = reinterpret_cast<Mallctl>(dlsym(RTLD_DEFAULT, "mallctl"));
  return function == nullptr ? -1 : function(name, oldp, oldlenp, newp, newlen);
}

template <typename T>
T Read(const char* name) {
  T value = {};
  size_t length = sizeof(value);
  EXPECT_EQ(Call(name, &value, &length, nullptr, 0), 0) << name;
  return value;
}

template <typename T>
int Write(const char* name, T value) {
  return Call(name, nullptr, nullptr, &value, sizeof(value));
}

int Do(const char* name) { return Call(name, nullptr, nullptr, nullptr, 0); }

size_t FreshRead(const char* name) {
  EXPECT_EQ(Write<uint64_t>("epoch", 1), 0);
  return Read<size_t>(name);
}

// Blocks that the compiler can't do without.
std::vector<void*> Blocks(size_t count, size_t size) {
  std::vector<void*> blocks;
  for (size_t i = 0; i < count; ++i) blocks.push_back(malloc(size));
  return blocks;
}

void FreeAll(const std::vector<void*>& blocks) {
  for (void* block : blocks) free(block);
}

TEST(PreloadedMallctlTest, TheInterfaceIsThere) {
  for (const char* name : {"mallctl", "mallctlnametomib", "mallctlbymib", "malloc_stats_print",
                           "malloc_conf", "malloc_message"}) {
    EXPECT_NE(dlsym(RTLD_DEFAULT, name), nullptr) << name;
  }
}

TEST(PreloadedMallctlTest, AllocatedFollowsTheProgram) {
  const size_t before = FreshRead("stats.allocated");
  const std::vector<void*> blocks = Blocks(1000, 4096);
  const size_t between = FreshRead("stats.allocated");
  EXPECT_GE(between, before + 1000 * 4096);
  EXPECT_LE(between, before + 1100 * 4096);
  FreeAll(blocks);
  EXPECT_LE(FreshRead("stats.allocated"), between - 1000 * 4096);
}

TEST(PreloadedMallctlTest, PurgeGivesFreeMemoryBack) {
  FreeAll(Blocks(2000, 4096));
  EXPECT_EQ(Do("arena.4096.purge"), 0);
  EXPECT_EQ(FreshRead("stats.arenas.4096.pdirty"), 0u);
  EXPECT_GT(Read<uint64_t>("stats.arenas.4096.dirty_purged"), 0u);
}

TEST(PreloadedMallctlTest, AThreadWithoutCacheCachesNothing) {
  std::thread([] {
    FreeAll(Blocks(100, 64));
    const size_t with = FreshRead("spanmalloc.threads");
    EXPECT_EQ(Write<bool>("thread.tcache.enabled", false), 0);
    EXPECT_FALSE(Read<bool>("thread.tcache.enabled"));
    EXPECT_EQ(Do("thread.tcache.flush"), EFAULT);
    FreeAll(Blocks(100, 64));
    EXPECT_EQ(FreshRead("spanmalloc.threads"), with - 1);
    EXPECT_EQ(Write<bool>("thread.tcache.enabled", true), 0);
    FreeAll(Blocks(100, 64));
    EXPECT_EQ(FreshRead("spanmalloc.threads"), with);
    EXPECT_EQ(Do("thread.tcache.flush"), 0);
  }).join();
}

TEST(PreloadedMallctlTest, TheThreadsCacheFollowsIt) {
  constexpr size_t kSize = 3000;  // nothing else here wants blocks of that class
  size_t bin = 0;
  while (Read<size_t>(("arenas.bin." + std::to_string(bin) + ".size").c_str()) < kSize) ++bin;
  const std::string at = "spanmalloc.thread.cache.classes." + std::to_string(bin) + ".";
  const auto held = [&] { return Read<size_t>((at + "objects").c_str()); };
  EXPECT_EQ(Do("thread.tcache.flush"), 0);
  EXPECT_EQ(held(), 0u);
  std::vector<void*> blocks = Blocks(1, kSize);
  const size_t before = held();
  FreeAll(blocks);
  EXPECT_EQ(held(), before + 1);
  EXPECT_GE(Read<size_t>((at + "limit").c_str()), before + 1);
  EXPECT_GE(Read<size_t>("spanmalloc.thread.cache.bytes"), (before + 1) * kSize);
  blocks = Blocks(1, kSize);
  EXPECT_EQ(held(), before);
  FreeAll(blocks);
  EXPECT_EQ(Do("thread.tcache.flush"), 0);
  EXPECT_EQ(held(), 0u);
}

TEST(PreloadedMallctlTest, AForkedChildCanAsk) {
  std::thread busy([] {
    for (int i = 0; i < 2000; ++i) FreshRead("stats.allocated");
  });
  for (int i = 0; i < 50; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(FreshRead("stats.allocated") > 0 ? 0 : 1);
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  busy.join();
}

TEST(PreloadedMallctlTest, PrintingDoesNotAllocate) {
  using Print = void (*)(void (*)(void*, const char*), void*, const char*);
  const auto print = reinterpret_cast<Print>(dlsym(RTLD_DEFAULT, "malloc_stats_print"));
  ASSERT_NE(print, nullptr);
  const size_t before = FreshRead("stats.allocated");
  size_t pieces = 0;
  print([](void* count, const char*) { ++*static_cast<size_t*>(count); }, &pieces, "");
  EXPECT_EQ(pieces, 1u);
  EXPECT_EQ(Read<size_t>("stats.allocated"), before);
}

}  // namespace

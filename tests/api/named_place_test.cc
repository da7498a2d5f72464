// SPDX-License-Identifier: Apache-2.0
//
// mallocx and its kin with a cache or an arena named: caches made by mallctl, no cache at all, and
// arenas, in all combinations.
#include <errno.h>
#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t kMiB = size_t{1} << 20;

unsigned Make(const char* name) {
  unsigned index = ~0u;
  size_t length = sizeof(index);
  EXPECT_EQ(mallctl(name, &index, &length, nullptr, 0), 0) << name;
  return index;
}

int Act(const char* name, unsigned index) {
  return mallctl(name, nullptr, nullptr, &index, sizeof(index));
}

int ActOnArena(unsigned arena, const char* action) {
  const std::string name = "arena." + std::to_string(arena) + "." + action;
  return mallctl(name.c_str(), nullptr, nullptr, nullptr, 0);
}

size_t FreshNumber(const char* name) {
  uint64_t epoch = 1;
  EXPECT_EQ(mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch)), 0);
  size_t value = 0;
  size_t length = sizeof(value);
  EXPECT_EQ(mallctl(name, &value, &length, nullptr, 0), 0);
  return value;
}

bool AllAre(const void* bytes, size_t begin, size_t end, unsigned char value) {
  const auto* first = static_cast<const unsigned char*>(bytes);
  return std::all_of(first + begin, first + end, [value](unsigned char b) { return b == value; });
}

std::vector<size_t> Sizes() {
  std::vector<size_t> sizes;
  for (size_t size = 1; size < 3 * kMiB; size += size / 2 + 1) sizes.push_back(size);
  return sizes;
}

TEST(NamedPlace, EveryCombinationKeepsItsPromises) {
  const unsigned cache = Make("tcache.create");
  const unsigned other_cache = Make("tcache.create");
  const unsigned arena = Make("arenas.create");
  const int caches[] = {0, MALLOCX_TCACHE_NONE, MALLOCX_TCACHE(cache), MALLOCX_TCACHE(other_cache)};
  const int arenas[] = {0, MALLOCX_ARENA(0), MALLOCX_ARENA(arena)};
  size_t round = 0;
  for (int in_arena : arenas) {
    for (int in_cache : caches) {
      for (int lg : {0, 3, 6, 12, 13, 16}) {
        for (size_t size : Sizes()) {
          const int place = in_arena | in_cache;
          const int align = MALLOCX_LG_ALIGN(lg);
          const int back = caches[round % 4];
          SCOPED_TRACE(testing::Message() << size << " at 2^" << lg << " flags " << place);
          // What a cache keeps of this isn't zero.
          void* soil = mallocx(size, place | align);
          memset(soil, 0xee, sallocx(soil, 0));
          dallocx(soil, place);
          void* block = mallocx(size, place | align | MALLOCX_ZERO);
          ASSERT_NE(block, nullptr);
          ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % (uintptr_t{1} << lg), 0u);
          const size_t usable = sallocx(block, place | align);
          ASSERT_EQ(usable, nallocx(size, place | align));
          ASSERT_TRUE(AllAre(block, 0, usable, 0));
          memset(block, 0x31, usable);
          ASSERT_GE(xallocx(block, size, 0, place), size);
          memset(block, 0x31, sallocx(block, 0));
          const size_t before = sallocx(block, 0);
          const size_t to = round % 3 == 0 ? size / 3 + 1 : size + size / 4 + 20;
          block = rallocx(block, to, in_arena | back | align | (round % 2 ? MALLOCX_ZERO : 0));
          ASSERT_NE(block, nullptr);
          ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % (uintptr_t{1} << lg), 0u);
          ASSERT_TRUE(AllAre(block, 0, std::min(before, to), 0x31));
          const size_t after = sallocx(block, 0);
          ASSERT_GE(after, to);
          if (round % 2 && after > before) {
            ASSERT_TRUE(AllAre(block, before, after, 0));
          }
          switch (round++ % 4) {
            case 0:
              sdallocx(block, to, back | align);
              break;
            case 1:
              dallocx(block, back | in_arena);
              break;
            case 2:
              sdallocx(block, after, back | align);
              break;
            default:
              dallocx(block, 0);
          }
        }
      }
    }
  }
  EXPECT_EQ(Act("tcache.destroy", cache), 0);
  EXPECT_EQ(Act("tcache.destroy", other_cache), 0);
  EXPECT_EQ(ActOnArena(arena, "destroy"), 0);
}

TEST(NamedPlace, RallocxMovesABlockToTheArenaThatIsNamed) {
  const unsigned arena = Make("arenas.create");
  const unsigned cache = Make("tcache.create");
  for (int in_cache : {0, MALLOCX_TCACHE_NONE, MALLOCX_TCACHE(cache)}) {
    for (size_t size : {size_t{100}, size_t{3000}, 200 * size_t{1024}, 2 * kMiB}) {
      auto* block = static_cast<unsigned char*>(mallocx(size, 0));
      memset(block, 7, size);
      block =
          static_cast<unsigned char*>(rallocx(block, 64 * size, MALLOCX_ARENA(arena) | in_cache));
      ASSERT_NE(block, nullptr);
      EXPECT_TRUE(AllAre(block, 0, size, 7));
    }
  }
  const size_t before = FreshNumber("stats.allocated");
  EXPECT_EQ(ActOnArena(arena, "reset"), 0);
  // Large blocks may have grown where they were.
  EXPECT_LT(FreshNumber("stats.allocated") + 3 * 64 * 103000, before);
  EXPECT_EQ(ActOnArena(arena, "destroy"), 0);
  EXPECT_EQ(Act("tcache.destroy", cache), 0);
}

TEST(NamedPlace, ACacheHoldsWhatIsFreedAndOnlyThat) {
  const unsigned cache = Make("tcache.create");
  const int flags = MALLOCX_TCACHE(cache);
  void* block = mallocx(5000, flags);
  dallocx(block, flags);
  std::vector<void*> own;
  for (int i = 0; i < 300; ++i) {
    own.push_back(mallocx(5000, 0));
    EXPECT_NE(own.back(), block) << "taken out of a cache that wasn't named";
  }
  EXPECT_EQ(mallocx(5000, flags), block);
  dallocx(block, flags);
  for (void* each : own) dallocx(each, 0);
  EXPECT_EQ(Act("tcache.destroy", cache), 0);
}

TEST(NamedPlace, WithoutACacheNothingStaysWithTheThread) {
  FreshNumber("spanmalloc.thread_cached");
  const size_t before = FreshNumber("spanmalloc.thread_cached");
  std::vector<void*> blocks(1000);
  for (void*& block : blocks) block = mallocx(7000, MALLOCX_TCACHE_NONE);
  for (void* block : blocks) dallocx(block, MALLOCX_TCACHE_NONE);
  EXPECT_EQ(FreshNumber("spanmalloc.thread_cached"), before);
}

TEST(NamedPlace, CachedBytesAreCountedUntilTheFlush) {
  const size_t caches = FreshNumber("spanmalloc.explicit_caches");
  const unsigned cache = Make("tcache.create");
  EXPECT_EQ(FreshNumber("spanmalloc.explicit_caches"), caches + 1);
  const size_t allocated = FreshNumber("stats.allocated");
  const size_t cached = FreshNumber("spanmalloc.thread_cached");
  std::vector<void*> blocks(100);
  for (void*& block : blocks) block = mallocx(1000, MALLOCX_TCACHE(cache));
  EXPECT_GE(FreshNumber("stats.allocated"), allocated + 100 * 1000);
  for (void* block : blocks) dallocx(block, MALLOCX_TCACHE(cache));
  EXPECT_GE(FreshNumber("spanmalloc.thread_cached"), cached + 20 * 1000);
  EXPECT_LT(FreshNumber("stats.allocated"), allocated + 50 * 1000);
  EXPECT_EQ(Act("tcache.flush", cache), 0);
  EXPECT_LT(FreshNumber("spanmalloc.thread_cached"), cached + 10 * 1000);
  EXPECT_EQ(Act("tcache.destroy", cache), 0);
  EXPECT_EQ(FreshNumber("spanmalloc.explicit_caches"), caches);
}

TEST(NamedPlace, AnArenaGoesWithWhatCachesHoldOfIt) {
  const unsigned cache = Make("tcache.create");
  for (int round = 0; round < 20; ++round) {
    const unsigned arena = Make("arenas.create");
    const int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE(cache);
    std::vector<void*> blocks(100);
    for (void*& block : blocks) block = mallocx(300, flags);
    for (size_t i = 0; i < blocks.size(); i += 2) dallocx(blocks[i], flags);
    EXPECT_EQ(ActOnArena(arena, "reset"), 0);
    std::vector<void*> others;
    for (size_t i = 0; i < blocks.size(); ++i) {
      // Of the pages that the reset freed, others make their own.
      others.push_back(mallocx(500, MALLOCX_TCACHE_NONE));
      memset(others.back(), 0xff, 500);
      blocks[i] = mallocx(300, flags);
      memset(blocks[i], static_cast<int>(i), 300);
    }
    for (size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_TRUE(AllAre(blocks[i], 0, 300, static_cast<unsigned char>(i)));
      EXPECT_EQ(sallocx(blocks[i], 0), nallocx(300, 0));
      dallocx(others[i], 0);
    }
    EXPECT_EQ(ActOnArena(arena, "destroy"), 0);
  }
  EXPECT_EQ(Act("tcache.destroy", cache), 0);
}

TEST(NamedPlace, ACacheMayPassFromThreadToThread) {
  const unsigned cache = Make("tcache.create");
  std::vector<void*> blocks;
  for (int i = 0; i < 8; ++i) {
    std::thread([&] {
      for (size_t n = 0; n < 500; ++n) {
        void* block = mallocx(64 + n, MALLOCX_TCACHE(cache));
        memset(block, i, 64 + n);
        blocks.push_back(block);
        if (n % 2 == 0) {
          dallocx(blocks[blocks.size() / 2], MALLOCX_TCACHE(cache));
          blocks.erase(blocks.begin() + static_cast<long>(blocks.size() / 2));
        }
      }
    }).join();
  }
  for (void* block : blocks) free(block);
  EXPECT_EQ(Act("tcache.destroy", cache), 0);
}

TEST(NamedPlace, ThreadsUseCachesOfTheirOwnAtOnce) {
  std::atomic<bool> stop{false};
  const unsigned arena = Make("arenas.create");
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([&stop, number, arena] {
      while (!stop.load()) {
        const unsigned cache = Make("tcache.create");
        const int flags = MALLOCX_TCACHE(cache) | (number % 2 ? MALLOCX_ARENA(arena) : 0);
        std::vector<unsigned char*> blocks;
        for (size_t i = 0; i < 3000; ++i) {
          const size_t size = 1 + i * 37 % 4000;
          auto* block = static_cast<unsigned char*>(mallocx(size, flags));
          block[0] = block[size - 1] = static_cast<unsigned char>(number);
          blocks.push_back(block);
          if (i % 3 != 0) {
            EXPECT_EQ(blocks[i / 7 % blocks.size()][0], number);
            dallocx(blocks.back(), flags);
            blocks.pop_back();
          }
        }
        for (auto* block : blocks) dallocx(block, flags);
        EXPECT_EQ(Act("tcache.destroy", cache), 0);
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    FreshNumber("stats.allocated");
    usleep(10000);
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ActOnArena(arena, "destroy"), 0);
}

TEST(NamedPlace, AForkedChildHasTheCachesAsTheyWere) {
  const unsigned cache = Make("tcache.create");
  void* block = mallocx(3333, MALLOCX_TCACHE(cache));
  dallocx(block, MALLOCX_TCACHE(cache));
  std::atomic<bool> stop{false};
  std::thread busy([&stop] {
    const unsigned own = Make("tcache.create");
    while (!stop.load()) {
      void* blocks[200];
      for (void*& each : blocks) each = mallocx(100, MALLOCX_TCACHE(own));
      for (void* each : blocks) dallocx(each, MALLOCX_TCACHE(own));
      EXPECT_EQ(Act("tcache.flush", own), 0);
    }
    EXPECT_EQ(Act("tcache.destroy", own), 0);
  });
  for (int i = 0; i < 30; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(20);
      bool good = mallocx(3333, MALLOCX_TCACHE(cache)) == block;
      dallocx(block, MALLOCX_TCACHE(cache));
      good = good && Act("tcache.flush", cache) == 0 && Act("tcache.destroy", cache) == 0;
      const unsigned fresh = Make("tcache.create");
      for (size_t n = 1; n < 1000; ++n) dallocx(mallocx(n, MALLOCX_TCACHE(fresh)), 0);
      _exit(good ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  stop.store(true);
  busy.join();
  EXPECT_EQ(Act("tcache.destroy", cache), 0);
}

TEST(NamedPlace, ADestroyedCacheIsToldOnceAndDoesNoHarm) {
  const unsigned cache = Make("tcache.create");
  EXPECT_EQ(Act("tcache.destroy", cache), 0);
  EXPECT_EQ(Act("tcache.destroy", cache), EFAULT);
  EXPECT_EQ(Act("tcache.flush", cache), EFAULT);
  EXPECT_EQ(Act("tcache.flush", 4093), EFAULT);
  EXPECT_EQ(Act("tcache.flush", ~0u), EFAULT);
  testing::internal::CaptureStderr();
  for (int i = 0; i < 100; ++i) {
    void* block = mallocx(100, MALLOCX_TCACHE(cache));
    ASSERT_NE(block, nullptr);
    block = rallocx(block, 1000, MALLOCX_TCACHE(cache));
    sdallocx(block, 1000, MALLOCX_TCACHE(cache));
    dallocx(mallocx(100, MALLOCX_TCACHE(4093)), MALLOCX_TCACHE(4093));
  }
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << told;
  EXPECT_NE(told.find("no such cache: MALLOCX_TCACHE(" + std::to_string(cache) + ")"),
            std::string::npos)
      << told;
}

unsigned ArenaOf(void* block) {
  unsigned arena = ~0u;
  size_t length = sizeof(arena);
  EXPECT_EQ(mallctl("arenas.lookup", &arena, &length, &block, sizeof(block)), 0);
  return arena;
}

TEST(NamedPlace, ABoundThreadGetsTheArenaThatIsNamedOrElseItsOwn) {
  const unsigned cache = Make("tcache.create");
  const unsigned own = Make("arenas.create");
  const unsigned other = Make("arenas.create");
  std::thread([&] {
    EXPECT_EQ(Act("thread.arena", own), 0);
    for (int in_cache : {0, MALLOCX_TCACHE_NONE, MALLOCX_TCACHE(cache)}) {
      for (int how : {0, MALLOCX_ZERO, MALLOCX_ALIGN(256), MALLOCX_ALIGN(8192) | MALLOCX_ZERO}) {
        for (size_t size : {size_t{100}, size_t{20000}, kMiB}) {
          SCOPED_TRACE(testing::Message() << size << " flags " << (in_cache | how));
          for (unsigned arena : {0u, own, other, 0u}) {
            const int flags = in_cache | how | MALLOCX_ARENA(arena);
            void* block = mallocx(size, flags);
            EXPECT_EQ(ArenaOf(block), arena);
            block = rallocx(block, 4 * size, flags);
            EXPECT_EQ(ArenaOf(block), arena);
            dallocx(block, flags);
          }
          void* block = mallocx(size, in_cache | how);
          EXPECT_EQ(ArenaOf(block), own);
          block = rallocx(block, 64 * size, in_cache | how);
          EXPECT_EQ(ArenaOf(block), own);
          dallocx(block, in_cache | how);
          block = mallocx(size, MALLOCX_ARENA(other));
          block = rallocx(block, 64 * size, in_cache | how);
          EXPECT_EQ(ArenaOf(block), other) << "a block stays in its arena";
          dallocx(block, in_cache);
        }
      }
    }
    void* block = mallocx(100, MALLOCX_ARENA(4000));
    EXPECT_EQ(ArenaOf(block), 0u) << "no such arena";
    free(block);
  }).join();
  EXPECT_EQ(Act("tcache.destroy", cache), 0);
  EXPECT_EQ(ActOnArena(own, "destroy"), 0);
  EXPECT_EQ(ActOnArena(other, "destroy"), 0);
}

TEST(NamedPlace, FailsWithEnomem) {
  const unsigned cache = Make("tcache.create");
  const unsigned arena = Make("arenas.create");
  for (int place : {MALLOCX_TCACHE_NONE, MALLOCX_TCACHE(cache), MALLOCX_ARENA(arena),
                    MALLOCX_ARENA(arena) | MALLOCX_TCACHE(cache)}) {
    void* block = mallocx(100, place);
    memset(block, 9, 100);
    for (size_t size : {SIZE_MAX, SIZE_MAX / 2, size_t{1} << 45}) {
      errno = 0;
      EXPECT_EQ(mallocx(size, place | MALLOCX_ZERO), nullptr);
      EXPECT_EQ(errno, ENOMEM);
      errno = 0;
      EXPECT_EQ(rallocx(block, size, place), nullptr);
      EXPECT_EQ(errno, ENOMEM);
    }
    EXPECT_TRUE(AllAre(block, 0, 100, 9));
    dallocx(block, place);
  }
  EXPECT_EQ(Act("tcache.destroy", cache), 0);
  EXPECT_EQ(ActOnArena(arena, "destroy"), 0);
}

}  // namespace

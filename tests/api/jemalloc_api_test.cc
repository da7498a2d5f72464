// SPDX-License-Identifier: Apache-2.0
//
// The promises of mallocx and its kin, each for sizes and alignments of every kind. Sized frees are
// part of every test: one that doesn't fit its block ends the program.
#include <errno.h>
#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

namespace {

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;

// Every size up to a few KiB, then some of each magnitude up to 20 MiB.
std::vector<size_t> Sizes() {
  std::vector<size_t> sizes;
  for (size_t size = 1; size <= 4200; ++size) sizes.push_back(size);
  for (size_t size = 4201; size < 20 * kMiB; size += size / 7) sizes.push_back(size);
  return sizes;
}

std::vector<size_t> SomeSizes() {
  std::vector<size_t> sizes;
  for (size_t size = 1; size < 5 * kMiB; size += size / 3 + 1) sizes.push_back(size);
  return sizes;
}

bool IsAligned(const void* block, size_t alignment) {
  return reinterpret_cast<uintptr_t>(block) % alignment == 0;
}

bool AllAre(const void* bytes, size_t begin, size_t end, unsigned char value) {
  const auto* first = static_cast<const unsigned char*>(bytes);
  return std::all_of(first + begin, first + end, [value](unsigned char b) { return b == value; });
}

struct Sized {
  void* ptr;
  size_t size;
};
extern "C" Sized smallocx_spanmalloc(size_t size, int flags);

// Leaves freed blocks that aren't zero where a later allocation of this kind may find them.
void SoilHeap(size_t size, int flags) {
  void* blocks[4];
  for (void*& block : blocks) {
    block = mallocx(size, flags);
    memset(block, 0xee, sallocx(block, 0));
  }
  for (void* block : blocks) dallocx(block, flags);
}

TEST(Flags, HaveTheValuesThatProgramsWereCompiledWith) {
  EXPECT_EQ(MALLOCX_LG_ALIGN(12), 12);
  EXPECT_EQ(MALLOCX_ALIGN(1), 0);
  EXPECT_EQ(MALLOCX_ALIGN(64), 6);
  EXPECT_EQ(MALLOCX_ALIGN(size_t{1} << 31), 31);
  EXPECT_EQ(MALLOCX_ALIGN(size_t{1} << 35), 35);
  EXPECT_EQ(MALLOCX_ZERO, 0x40);
  EXPECT_EQ(MALLOCX_TCACHE(0), 0x200);
  EXPECT_EQ(MALLOCX_TCACHE_NONE, 0x100);
  EXPECT_EQ(MALLOCX_ARENA(0), 0x100000);
  EXPECT_EQ(MALLOCX_ARENA(4), 0x500000);
}

TEST(Smallocx, TellsTheUsableSizeOfWhatItAllocates) {
  for (const int flags : {0, MALLOCX_ZERO, MALLOCX_ALIGN(4096), MALLOCX_TCACHE_NONE}) {
    for (size_t size : SomeSizes()) {
      const Sized made = smallocx_spanmalloc(size, flags);
      ASSERT_NE(made.ptr, nullptr);
      ASSERT_EQ(made.size, nallocx(size, flags)) << size;
      ASSERT_LE(made.size, sallocx(made.ptr, 0)) << size;
      if ((flags & MALLOCX_ZERO) != 0) ASSERT_TRUE(AllAre(made.ptr, 0, made.size, 0));
      memset(made.ptr, 1, made.size);
      sdallocx(made.ptr, size, flags);
    }
  }
  const Sized none = smallocx_spanmalloc(SIZE_MAX, 0);
  EXPECT_EQ(none.ptr, nullptr);
  EXPECT_EQ(none.size, 0u);
}

TEST(Mallocx, GivesTheUsableSizeThatNallocxNames) {
  for (size_t size : Sizes()) {
    void* block = mallocx(size, 0);
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(IsAligned(block, 16));
    const size_t usable = sallocx(block, 0);
    ASSERT_GE(usable, size);
    ASSERT_EQ(usable, nallocx(size, 0)) << size;
    memset(block, 1, usable);
    sdallocx(block, size % 2 == 0 ? size : usable, 0);
  }
}

TEST(Mallocx, AlignsAndGivesTheUsableSizeThatNallocxNames) {
  for (int lg = 0; lg <= 22; ++lg) {
    for (size_t size : SomeSizes()) {
      const int flags = MALLOCX_LG_ALIGN(lg);
      void* block = mallocx(size, flags);
      ASSERT_NE(block, nullptr);
      ASSERT_TRUE(IsAligned(block, size_t{1} << lg));
      const size_t usable = sallocx(block, flags);
      ASSERT_GE(usable, size);
      ASSERT_EQ(usable, nallocx(size, flags)) << size << " at 2^" << lg;
      memset(block, 1, usable);
      sdallocx(block, size % 2 == 0 ? size : usable, flags);
    }
  }
}

TEST(Mallocx, ZeroesEveryUsableByte) {
  for (int lg : {0, 4, 5, 6, 9, 12, 13, 14, 16, 21}) {
    for (size_t size : SomeSizes()) {
      const int flags = MALLOCX_LG_ALIGN(lg) | MALLOCX_ZERO;
      SoilHeap(size, MALLOCX_LG_ALIGN(lg));
      void* block = mallocx(size, flags);
      ASSERT_NE(block, nullptr);
      ASSERT_TRUE(IsAligned(block, size_t{1} << lg));
      const size_t usable = sallocx(block, flags);
      ASSERT_EQ(usable, nallocx(size, flags));
      ASSERT_TRUE(AllAre(block, 0, usable, 0)) << size << " at 2^" << lg;
      sdallocx(block, size, flags);
    }
  }
}

TEST(Mallocx, FailsWithEnomemWhereNallocxIsZero) {
  const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 2 + 1, size_t{1} << 45};
  for (size_t size : sizes) {
    for (int flags : {0, MALLOCX_ALIGN(64), MALLOCX_ZERO, MALLOCX_ALIGN(4096) | MALLOCX_ZERO}) {
      EXPECT_EQ(nallocx(size, flags), 0u) << size;
      errno = 0;
      EXPECT_EQ(mallocx(size, flags), nullptr) << size;
      EXPECT_EQ(errno, ENOMEM);
    }
  }
  for (int lg : {45, 62, 63}) {
    EXPECT_EQ(nallocx(1, MALLOCX_LG_ALIGN(lg)), 0u) << lg;
    EXPECT_EQ(mallocx(1, MALLOCX_LG_ALIGN(lg)), nullptr) << lg;
    EXPECT_EQ(mallocx(1, MALLOCX_LG_ALIGN(lg) | MALLOCX_ZERO), nullptr) << lg;
  }
}

TEST(Mallocx, AcceptsCachesAndArenas) {
  for (int flags : {MALLOCX_TCACHE_NONE, MALLOCX_TCACHE(7), MALLOCX_ARENA(0), MALLOCX_ARENA(3000),
                    MALLOCX_ARENA(2) | MALLOCX_TCACHE_NONE}) {
    char* block = static_cast<char*>(mallocx(100, flags | MALLOCX_ZERO | MALLOCX_ALIGN(64)));
    ASSERT_NE(block, nullptr);
    EXPECT_TRUE(IsAligned(block, 64));
    EXPECT_TRUE(AllAre(block, 0, 100, 0));
    memset(block, 5, 100);
    block = static_cast<char*>(rallocx(block, 5000, flags));
    ASSERT_NE(block, nullptr);
    EXPECT_TRUE(AllAre(block, 0, 100, 5));
    sdallocx(block, 5000, flags);
  }
}

TEST(Mallocx, TakesBlocksOfAnExplicitArena) {
  unsigned arena = 0;
  size_t length = sizeof(arena);
  ASSERT_EQ(mallctl("arenas.create", &arena, &length, nullptr, 0), 0);
  const int flags = MALLOCX_ARENA(arena);
  for (int lg : {0, 6, 12, 14}) {
    for (size_t size : SomeSizes()) {
      const int align = MALLOCX_LG_ALIGN(lg);
      SoilHeap(size, flags | align);
      void* block = mallocx(size, flags | align | MALLOCX_ZERO);
      ASSERT_NE(block, nullptr);
      ASSERT_TRUE(IsAligned(block, size_t{1} << lg));
      ASSERT_EQ(sallocx(block, 0), nallocx(size, align));
      ASSERT_TRUE(AllAre(block, 0, sallocx(block, 0), 0));
      memset(block, 0x12, size);
      const size_t more = size + size / 2 + 1;
      const size_t usable = sallocx(block, 0);
      ASSERT_GE(xallocx(block, size, 0, 0), size);
      block = rallocx(block, more, align | MALLOCX_ZERO);
      ASSERT_NE(block, nullptr);
      ASSERT_TRUE(IsAligned(block, size_t{1} << lg));
      ASSERT_TRUE(AllAre(block, 0, size, 0x12));
      ASSERT_TRUE(AllAre(block, usable, sallocx(block, 0), 0));
      // With or without the arena, with or without the size: the block finds its way home.
      switch (size % 4) {
        case 0:
          sdallocx(block, more, flags | align);
          break;
        case 1:
          sdallocx(block, more, align);
          break;
        case 2:
          dallocx(block, flags);
          break;
        default:
          free(block);
      }
    }
  }
  EXPECT_EQ(mallctl(("arena." + std::to_string(arena) + ".destroy").c_str(), nullptr, nullptr,
                    nullptr, 0),
            0);
}

// A block whose every usable byte is 0x11, resized.
void CheckRallocx(size_t from, size_t to, int align_flags, bool zero) {
  SCOPED_TRACE(testing::Message() << from << " -> " << to << " flags " << align_flags);
  const size_t alignment = size_t{1} << align_flags;
  const int flags = align_flags | (zero ? MALLOCX_ZERO : 0);
  SoilHeap(to, align_flags);
  void* block = mallocx(from, align_flags);
  const size_t old_usable = sallocx(block, 0);
  memset(block, 0x11, old_usable);
  void* result = rallocx(block, to, flags);
  ASSERT_NE(result, nullptr);
  ASSERT_TRUE(IsAligned(result, alignment));
  const size_t usable = sallocx(result, 0);
  ASSERT_EQ(usable, nallocx(to, flags));
  ASSERT_TRUE(AllAre(result, 0, std::min(old_usable, to), 0x11));
  if (zero && usable > old_usable) {
    ASSERT_TRUE(AllAre(result, old_usable, usable, 0));
  }
  memset(result, 0x22, usable);
  sdallocx(result, to, flags);
}

TEST(Rallocx, KeepsContentsAndZeroesTheRest) {
  for (int lg : {0, 6, 13, 15}) {
    for (size_t from = 1; from < 3 * kMiB; from += from / 2 + 1) {
      for (size_t to = 1; to < 3 * kMiB; to += to / 2 + 3) {
        CheckRallocx(from, to, MALLOCX_LG_ALIGN(lg), (from + to) % 2 == 0);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Whatever the block was before, and wherever it lies.
TEST(Rallocx, GivesTheUsableSizeThatNallocxNames) {
  unsigned arena = 0;
  size_t length = sizeof(arena);
  ASSERT_EQ(mallctl("arenas.create", &arena, &length, nullptr, 0), 0);
  for (int place : {0, MALLOCX_TCACHE_NONE, static_cast<int>(MALLOCX_ARENA(arena))}) {
    for (int lg : {0, 7, 13, 15}) {
      const int align = MALLOCX_LG_ALIGN(lg);
      void* block = mallocx(1, place | align);
      const auto resize = [&](size_t size) {
        block = rallocx(block, size, place | align);
        ASSERT_NE(block, nullptr);
        ASSERT_EQ(sallocx(block, 0), nallocx(size, align)) << size << " at 2^" << lg;
        memset(block, 0x2d, size);
      };
      for (size_t size = 1; size < 3 * kMiB; size += size / 9 + 1) resize(size);
      for (size_t size = 3 * kMiB; size > 1; size -= size / 7 + 1) resize(size);
      for (size_t size = 1; size < 3 * kMiB; size += size * 2 + 1) {
        resize(size);
        resize(3 * kMiB - size);
      }
      const size_t last = sallocx(block, 0);
      sdallocx(block, last, place | align);
    }
  }
  // Made by realloc, which leaves more room.
  for (size_t from : {3000, 10000, 200000, 600000}) {
    for (size_t by_realloc : {5000, 20000, 130000, 270000}) {
      for (size_t to : {2900, 5000, 18000, 100000, 250000, 290000}) {
        void* block = realloc(mallocx(from, 0), by_realloc);
        block = rallocx(block, to, 0);
        ASSERT_EQ(sallocx(block, 0), nallocx(to, 0)) << from << ", " << by_realloc << ", " << to;
        sdallocx(block, to, 0);
      }
    }
  }
  EXPECT_EQ(mallctl(("arena." + std::to_string(arena) + ".destroy").c_str(), nullptr, nullptr,
                    nullptr, 0),
            0);
}

TEST(Rallocx, KeepsZeroesThroughAChainOfGrowth) {
  size_t size = 1;
  auto* block = static_cast<unsigned char*>(mallocx(size, MALLOCX_ZERO));
  while (size < 40 * kMiB) {
    SoilHeap(size * 2, 0);
    size += size / 3 + 1;
    block = static_cast<unsigned char*>(rallocx(block, size, MALLOCX_ZERO));
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(AllAre(block, 0, sallocx(block, 0), 0)) << size;
  }
  sdallocx(block, size, 0);
}

// The boundary of what is zeroed is the old usable size, not what was last asked for: up to there
// the bytes stay.
TEST(Rallocx, KeepsAllThatWasUsableWhereTheSizeStaysAndTheAlignmentGrows) {
  for (const unsigned char old : {0, 0x77}) {
    void* block = mallocx(1, MALLOCX_ZERO);
    size_t usable = sallocx(block, 0);
    memset(block, old, usable);
    for (int lg_alignment = 1; lg_alignment <= 24; ++lg_alignment) {
      const int flags = MALLOCX_LG_ALIGN(lg_alignment) | MALLOCX_ZERO;
      SoilHeap(1, flags);
      block = rallocx(block, 1, flags);
      ASSERT_NE(block, nullptr);
      const size_t new_usable = sallocx(block, 0);
      const size_t kept = std::min(usable, new_usable);
      ASSERT_TRUE(AllAre(block, 0, kept, old)) << lg_alignment;
      ASSERT_TRUE(AllAre(block, kept, new_usable, 0)) << lg_alignment;
      memset(block, old, new_usable);
      usable = new_usable;
    }
    dallocx(block, 0);
  }
}

TEST(Rallocx, AlignsABlockThatWasNot) {
  std::vector<void*> blocks;
  for (size_t size : {20, 100, 1000, 2000, 40000, 300000}) {
    for (int i = 0; i < 8; ++i) {
      void* block = mallocx(size, 0);
      memset(block, i, size);
      block = rallocx(block, size + 1, MALLOCX_ALIGN(16384));
      ASSERT_NE(block, nullptr);
      EXPECT_TRUE(IsAligned(block, 16384));
      EXPECT_TRUE(AllAre(block, 0, size, static_cast<unsigned char>(i)));
      blocks.push_back(block);
    }
    for (void* block : blocks) sdallocx(block, size + 1, MALLOCX_ALIGN(16384));
    blocks.clear();
  }
}

TEST(Rallocx, LeavesTheBlockAloneWhenItFails) {
  for (size_t size : {100, 5000, 400000}) {
    for (int flags : {0, MALLOCX_ALIGN(64), MALLOCX_ZERO}) {
      void* block = mallocx(size, flags);
      memset(block, 0x33, size);
      for (size_t too_much : {SIZE_MAX, SIZE_MAX / 2, size_t{1} << 45}) {
        errno = 0;
        EXPECT_EQ(rallocx(block, too_much, flags), nullptr);
        EXPECT_EQ(errno, ENOMEM);
      }
      EXPECT_TRUE(AllAre(block, 0, size, 0x33));
      sdallocx(block, size, flags);
    }
  }
}

TEST(Xallocx, NeverChangesABlockOfASizeClass) {
  for (size_t size : {1, 100, 1000, 1025, 5000, 40000, 262144}) {
    void* block = mallocx(size, 0);
    const size_t usable = sallocx(block, 0);
    EXPECT_EQ(xallocx(block, 1, 0, 0), usable);
    EXPECT_EQ(xallocx(block, size, 1, 0), usable);
    EXPECT_EQ(xallocx(block, usable + 1, 0, 0), usable);
    EXPECT_EQ(xallocx(block, 10 * kMiB, 0, MALLOCX_ZERO), usable);
    EXPECT_EQ(xallocx(block, SIZE_MAX, 0, 0), usable);
    EXPECT_EQ(sallocx(block, 0), usable);
    sdallocx(block, size, 0);
  }
}

TEST(Xallocx, ShrinksAndGrowsALargeBlockInPlace) {
  for (size_t size : {1 * kMiB, 3 * kMiB, 12 * kMiB}) {
    auto* block = static_cast<unsigned char*>(mallocx(size, 0));
    memset(block, 0x44, size);
    const size_t half = size / 2;
    EXPECT_EQ(xallocx(block, half, 0, 0), half);
    EXPECT_EQ(sallocx(block, 0), half);
    EXPECT_TRUE(AllAre(block, 0, half, 0x44));
    EXPECT_EQ(xallocx(block, size, 0, MALLOCX_ZERO), size);
    EXPECT_EQ(sallocx(block, 0), size);
    EXPECT_TRUE(AllAre(block, 0, half, 0x44));
    EXPECT_TRUE(AllAre(block, half, size, 0));
    memset(block, 0x55, size);
    sdallocx(block, size, 0);
  }
}

TEST(Xallocx, ShrinksByASinglePageAndToNoSizeClass) {
  unsigned nbins = 0;
  size_t length = sizeof(nbins);
  ASSERT_EQ(mallctl("arenas.nbins", &nbins, &length, nullptr, 0), 0);
  size_t largest = 0;
  length = sizeof(largest);
  const std::string name = "arenas.bin." + std::to_string(nbins - 1) + ".size";
  ASSERT_EQ(mallctl(name.c_str(), &largest, &length, nullptr, 0), 0);

  void* block = mallocx(400 * kKiB, 0);
  EXPECT_EQ(xallocx(block, 392 * kKiB, 0, 0), 392 * kKiB);
  EXPECT_EQ(xallocx(block, 384 * kKiB - 5000, 5000, 0), 384 * kKiB);
  EXPECT_EQ(xallocx(block, 300 * kKiB, 84 * kKiB, 0), 384 * kKiB);
  EXPECT_EQ(xallocx(block, largest, 0, 0), 384 * kKiB) << "it would belong in a size class";
  EXPECT_EQ(xallocx(block, 1, largest - 1, 0), 384 * kKiB);
  EXPECT_EQ(xallocx(block, largest, 1, 0), nallocx(largest + 1, 0));
  dallocx(block, 0);
}

TEST(Xallocx, TakesWhatItCanOfTheExtra) {
  void* block = mallocx(1 * kMiB, 0);
  ASSERT_EQ(xallocx(block, 400 * kKiB, 0, 0), 400 * kKiB);
  EXPECT_EQ(xallocx(block, 400 * kKiB, 112 * kKiB, 0), 512 * kKiB);
  // More than there ever is: what there is, or half of it at least.
  const size_t grown = xallocx(block, 600 * kKiB, size_t{1} << 50, 0);
  EXPECT_GE(grown, 600 * kKiB);
  EXPECT_EQ(grown, sallocx(block, 0));
  EXPECT_EQ(xallocx(block, 600 * kKiB, SIZE_MAX, 0), grown);
  EXPECT_EQ(xallocx(block, grown / 2, grown, 0), grown) << "shrunk though more was wished for";
  memset(block, 0x77, grown);
  sdallocx(block, grown, 0);
}

TEST(Xallocx, ASizeThatNoBlockHasChangesNothing) {
  void* block = mallocx(2 * kMiB, 0);
  for (size_t size : {SIZE_MAX, SIZE_MAX - 10, SIZE_MAX / 2 + 2}) {
    for (size_t extra : {size_t{1}, 1 * kMiB, SIZE_MAX / 2 + kMiB, SIZE_MAX}) {
      EXPECT_EQ(xallocx(block, size, extra, 0), 2 * kMiB) << size << " and " << extra;
      EXPECT_EQ(sallocx(block, 0), 2 * kMiB);
    }
  }
  dallocx(block, 0);
}

TEST(Xallocx, DoesNotGrowIntoANeighbour) {
  auto* block = static_cast<char*>(mallocx(1 * kMiB, 0));
  ASSERT_EQ(xallocx(block, 512 * kKiB, 0, 0), 512 * kKiB);
  std::vector<void*> others;
  do {
    others.push_back(mallocx(512 * kKiB, 0));
    ASSERT_LT(others.size(), 1000u) << "nobody was put behind the block";
  } while (others.back() != block + 512 * kKiB);
  memset(others.back(), 0x66, 512 * kKiB);
  EXPECT_EQ(xallocx(block, 1 * kMiB, 0, MALLOCX_ZERO), 512 * kKiB);
  EXPECT_EQ(xallocx(block, 512 * kKiB, 512 * kKiB, MALLOCX_ZERO), 512 * kKiB);
  EXPECT_EQ(xallocx(block, 264 * kKiB, 512 * kKiB, 0), 512 * kKiB) << "between the two sizes";
  ASSERT_EQ(xallocx(block, 264 * kKiB, 0, 0), 264 * kKiB);
  const size_t some = xallocx(block, 264 * kKiB, 2 * kMiB, MALLOCX_ZERO);
  EXPECT_GE(some, 384 * kKiB) << "half of the room at least";
  EXPECT_LE(some, 512 * kKiB);
  EXPECT_TRUE(AllAre(block, 264 * kKiB, some, 0));
  EXPECT_TRUE(AllAre(others.back(), 0, 512 * kKiB, 0x66));
  for (void* other : others) dallocx(other, 0);
  dallocx(block, 0);
}

// Every outcome that the contract allows and no other, for blocks of every kind and sizes around
// their own.
TEST(Xallocx, TellsTheTruthAboutEverySize) {
  for (int lg : {0, 6, 13, 16, 22}) {
    for (size_t size = 1; size < 9 * kMiB; size += size * 2 / 3 + 1) {
      void* block = mallocx(size, MALLOCX_LG_ALIGN(lg));
      for (size_t wish : {size_t{1}, size / 3 + 1, size - size / 64, size, size + 1, size + 70000,
                          2 * size, size / 2 + 1}) {
        for (size_t extra : {size_t{0}, size_t{1}, size_t{70000}, size}) {
          const size_t before = sallocx(block, 0);
          memset(block, 0x5a, before);
          const size_t after = xallocx(block, wish, extra, MALLOCX_LG_ALIGN(lg) | MALLOCX_ZERO);
          SCOPED_TRACE(testing::Message() << before << " to " << wish << " + " << extra << " at 2^"
                                          << lg << ": " << after);
          ASSERT_EQ(after, sallocx(block, 0));
          ASSERT_TRUE(AllAre(block, 0, std::min(before, after), 0x5a));
          if (after > before) {
            ASSERT_TRUE(AllAre(block, before, after, 0));
            ASSERT_LE(after, nallocx(wish + extra, MALLOCX_LG_ALIGN(13))) << "more than wished for";
          }
          if (after < before) {
            ASSERT_GE(after, wish);
            ASSERT_EQ(after, nallocx(wish + extra, MALLOCX_LG_ALIGN(std::max(lg, 13))));
          }
        }
      }
      dallocx(block, MALLOCX_LG_ALIGN(lg));
    }
  }
}

TEST(Xallocx, LeavesABlockThatIsNotAligned) {
  // Of two neighbours at most one is aligned to 1 GiB.
  void* blocks[] = {mallocx(1 * kMiB, 0), mallocx(1 * kMiB, 0)};
  void* block = IsAligned(blocks[0], size_t{1} << 30) ? blocks[1] : blocks[0];
  EXPECT_EQ(xallocx(block, 512 * kKiB, 0, MALLOCX_LG_ALIGN(30)), 1 * kMiB);
  EXPECT_EQ(xallocx(block, 512 * kKiB, 0, MALLOCX_LG_ALIGN(12)), 512 * kKiB);
  dallocx(blocks[0], 0);
  dallocx(blocks[1], 0);
}

TEST(OneHeap, BlocksOfEveryOriginAreTheSame) {
  void* block = malloc(100);
  EXPECT_EQ(sallocx(block, 0), nallocx(100, 0));
  block = rallocx(block, 300, 0);
  block = realloc(block, 700);
  sdallocx(block, 700, 0);
  free(mallocx(100, MALLOCX_ALIGN(64)));
  ::operator delete(mallocx(64, 0));
  free_sized(mallocx(64, 0), 64);
  free_aligned_sized(mallocx(200, MALLOCX_ALIGN(128)), 128, 200);
}

}  // namespace

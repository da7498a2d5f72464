// SPDX-License-Identifier: Apache-2.0
//
// mallctl's rules: how names and MIBs are looked up, how values are checked and copied, and what an
// epoch is.
#include "allocator/control/mallctl.h"

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "tests/control/control_test.h"

namespace spanmalloc {
namespace {

class MallctlTest : public ControlTest {};

TEST_F(MallctlTest, UnknownNamesAreNoEntries) {
  for (const char* name : {"",
                           ".",
                           "nothing",
                           "stats.nothing",
                           "stats.",
                           ".stats",
                           "version.more",
                           "epoch.",
                           "arenas.bin.69.size",
                           "arenas.bin.-1.size",
                           "arenas.bin.x.size",
                           "arenas.bin.1x.size",
                           "arenas.bin..size",
                           "arenas.bin.99999999999999999999999.size",
                           "arena.5.purge",
                           "stats.arenas.2.pactive",
                           "stats.arenas.0.bins.69.curregs",
                           "arena.<i>.purge",
                           "a.b.c.d.e.f.g.h.i.j",
                           "stats.cactive",
                           "opt.lg_chunk",
                           "prof.stats",
                           "epo"}) {
    EXPECT_EQ(Do(name), ENOENT) << name;
    size_t mib[8];
    size_t length = 8;
    EXPECT_EQ(MallctlNameToMib(control_, name, mib, &length), ENOENT) << name;
  }
}

TEST_F(MallctlTest, InnerNamesHaveAMibButNoValue) {
  for (const char* name : {"stats", "arenas.bin", "arenas.bin.0", "stats.arenas.0.bins.3"}) {
    EXPECT_EQ(Do(name), ENOENT) << name;
    size_t mib[8];
    size_t length = 8;
    EXPECT_EQ(MallctlNameToMib(control_, name, mib, &length), 0) << name;
    EXPECT_EQ(length, 1u + std::count(name, name + strlen(name), '.')) << name;
    EXPECT_EQ(MallctlByMib(control_, mib, length, nullptr, nullptr, nullptr, 0), ENOENT) << name;
  }
}

TEST_F(MallctlTest, AShortMibEndsTheLookupSilently) {
  size_t mib[8] = {77, 77, 77, 77, 77, 77, 77, 77};
  size_t length = 2;
  EXPECT_EQ(MallctlNameToMib(control_, "arenas.bin.3.nonsense", mib, &length), 0);
  EXPECT_EQ(length, 2u);
  EXPECT_EQ(mib[2], 77u);
  length = 0;
  EXPECT_EQ(MallctlNameToMib(control_, "nonsense", mib, &length), 0);
  EXPECT_EQ(length, 0u);
}

TEST_F(MallctlTest, IndicesInAMibCanBeReplaced) {
  size_t mib[4];
  size_t length = 4;
  ASSERT_EQ(MallctlNameToMib(control_, "arenas.bin.0.size", mib, &length), 0);
  ASSERT_EQ(length, 4u);
  EXPECT_EQ(mib[2], 0u);
  for (size_t j = 0; j < kSizeClasses; ++j) {
    mib[2] = j;
    size_t size = 0;
    size_t size_length = sizeof(size);
    EXPECT_EQ(MallctlByMib(control_, mib, 4, &size, &size_length, nullptr, 0), 0);
    EXPECT_EQ(size, kSizeClassTable[j + 1].size);
  }
  mib[2] = kSizeClasses;
  EXPECT_EQ(MallctlByMib(control_, mib, 4, nullptr, nullptr, nullptr, 0), ENOENT);
  mib[2] = size_t{1} << 32;
  EXPECT_EQ(MallctlByMib(control_, mib, 4, nullptr, nullptr, nullptr, 0), EFAULT);
}

TEST_F(MallctlTest, MibsOfNoNameAreNoEntries) {
  size_t mib[9];
  size_t length = 8;
  ASSERT_EQ(MallctlNameToMib(control_, "arenas.bin.0.size", mib, &length), 0);
  const size_t good[] = {mib[0], mib[1], mib[2], mib[3]};
  const auto by_mib = [&](size_t miblen) {
    return MallctlByMib(control_, mib, miblen, nullptr, nullptr, nullptr, 0);
  };
  EXPECT_EQ(by_mib(4), 0);
  EXPECT_EQ(by_mib(0), ENOENT);
  EXPECT_EQ(by_mib(3), ENOENT);
  EXPECT_EQ(by_mib(9), ENOENT);
  for (size_t d : {0, 1, 3}) {
    std::copy(good, good + 4, mib);
    mib[d] = 1000000;
    EXPECT_EQ(by_mib(4), ENOENT) << d;
    mib[d] = good[d] + 1;
    EXPECT_NE(by_mib(4), EFAULT) << d;
  }
}

TEST_F(MallctlTest, ABufferOfAnotherSizeIsFilledAndInvalid) {
  // Longer: the value and its length.
  uint64_t wide = ~uint64_t{0};
  size_t length = sizeof(wide);
  EXPECT_EQ(MallctlByName(control_, "arenas.nbins", &wide, &length, nullptr, 0), EINVAL);
  EXPECT_EQ(length, 4u);
  EXPECT_EQ(static_cast<uint32_t>(wide), kSizeClasses);
  EXPECT_EQ(wide >> 32, 0xffffffffu);
  // Shorter: the start of the value.
  uint8_t narrow[2] = {0xee, 0xee};
  length = 1;
  EXPECT_EQ(MallctlByName(control_, "arenas.page", narrow, &length, nullptr, 0), EINVAL);
  EXPECT_EQ(length, 1u);
  EXPECT_EQ(narrow[0], static_cast<uint8_t>(kPageSize));
  EXPECT_EQ(narrow[1], 0xee);
}

TEST_F(MallctlTest, NothingIsCopiedWithoutBothPointers) {
  size_t value = 5;
  size_t length = 1;
  EXPECT_EQ(MallctlByName(control_, "arenas.page", &value, nullptr, nullptr, 0), 0);
  EXPECT_EQ(value, 5u);
  EXPECT_EQ(MallctlByName(control_, "arenas.page", nullptr, &length, nullptr, 0), 0);
  EXPECT_EQ(length, 1u);
}

TEST_F(MallctlTest, ReadOnlyNamesRefuseAnyWrite) {
  size_t value = 1;
  EXPECT_EQ(Write<size_t>("stats.allocated", 1), EPERM);
  EXPECT_EQ(MallctlByName(control_, "arenas.page", nullptr, nullptr, nullptr, 8), EPERM);
  EXPECT_EQ(MallctlByName(control_, "arenas.page", nullptr, nullptr, &value, 0), EPERM);
}

TEST_F(MallctlTest, ActionsRefuseAnyArgument) {
  size_t value = 1;
  size_t length = sizeof(value);
  for (const char* name : {"arena.0.purge", "arena.0.decay", "thread.tcache.flush"}) {
    EXPECT_EQ(MallctlByName(control_, name, &value, &length, nullptr, 0), EPERM) << name;
    EXPECT_EQ(MallctlByName(control_, name, nullptr, &length, nullptr, 0), EPERM) << name;
    EXPECT_EQ(MallctlByName(control_, name, nullptr, nullptr, &value, 8), EPERM) << name;
    EXPECT_EQ(MallctlByName(control_, name, nullptr, nullptr, nullptr, 8), EPERM) << name;
    EXPECT_EQ(Do(name), 0) << name;
  }
  EXPECT_EQ(calls().purged.size(), 1u);
  EXPECT_EQ(calls().flushes, 1);
}

TEST_F(MallctlTest, AnActionMayLeaveItsArgumentsAlone) {
  size_t value = 1;
  size_t length = sizeof(value);
  const char* name = "stats.mutexes.reset";
  EXPECT_EQ(MallctlByName(control_, name, &value, &length, &value, 3), 0);
  EXPECT_EQ(length, sizeof(value));
  EXPECT_EQ(value, 1u);
}

// What a name can't do at all is told before that a value has the wrong size.
TEST_F(MallctlTest, TheArenaIsLookedAtBeforeTheSize) {
  for (const char* name : {"arena.4097.dirty_decay_ms", "arena.4096.oversize_threshold",
                           "arena.1.retain_grow_limit", "arena.4096.extent_hooks"}) {
    EXPECT_EQ(Write<char>(name, 1), EFAULT) << name;
  }
  EXPECT_EQ(Write<char>("arena.0.dirty_decay_ms", 1), EINVAL);
}

TEST_F(MallctlTest, MakingACacheNeedsRoomForItsIndexFirst) {
  unsigned index = 77;
  size_t length = 8;
  EXPECT_EQ(MallctlByName(control_, "tcache.create", &index, &length, nullptr, 0), EINVAL);
  EXPECT_EQ(length, 0u);
  length = 2;
  EXPECT_EQ(MallctlByName(control_, "tcache.create", &index, &length, nullptr, 0), EINVAL);
  EXPECT_EQ(length, 0u);
  length = 4;
  EXPECT_EQ(MallctlByName(control_, "tcache.create", nullptr, &length, nullptr, 0), EINVAL);
  EXPECT_EQ(length, 0u);
  EXPECT_EQ(MallctlByName(control_, "tcache.create", &index, nullptr, nullptr, 0), EINVAL);
  length = 4;
  EXPECT_EQ(MallctlByName(control_, "tcache.create", &index, &length, &index, 4), EPERM);
  EXPECT_EQ(MallctlByName(control_, "tcache.create", &index, &length, nullptr, 4), EPERM);
  EXPECT_EQ(calls().caches, 3u) << "made before the arguments were looked at";
  EXPECT_EQ(index, 77u);
  EXPECT_EQ(Read<unsigned>("tcache.create"), 3u);
  EXPECT_EQ(Read<unsigned>("tcache.create"), 4u);
}

TEST_F(MallctlTest, AWrittenValueMustHaveItsSize) {
  EXPECT_EQ(Write<uint32_t>("epoch", 1), EINVAL);
  EXPECT_EQ(Write<uint32_t>("arena.0.dirty_decay_ms", 1), EINVAL);
  EXPECT_EQ(Write<int>("background_thread", 0), EINVAL);
  EXPECT_EQ(calls().decay_ms, 0);
}

TEST_F(MallctlTest, NothingIsAnsweredBeforeInitialisation) {
  calls().initializes = false;
  size_t mib[2];
  size_t length = 2;
  EXPECT_EQ(Do("arena.0.purge"), EAGAIN);
  EXPECT_EQ(MallctlNameToMib(control_, "stats.allocated", mib, &length), EAGAIN);
  EXPECT_EQ(MallctlByMib(control_, mib, 2, nullptr, nullptr, nullptr, 0), EAGAIN);
}

TEST_F(MallctlTest, AHandlerThatInterruptedTheAllocatorIsToldToTryAgain) {
  calls().inside = true;
  uint64_t value = 0;
  size_t length = sizeof(value);
  EXPECT_EQ(MallctlByName(control_, "stats.allocated", &value, &length, nullptr, 0), EAGAIN);
  EXPECT_EQ(Do("arena.0.decay"), EAGAIN);
  calls().inside = false;
  EXPECT_EQ(MallctlByName(control_, "stats.allocated", &value, &length, nullptr, 0), 0);
}

TEST_F(MallctlTest, StatisticsChangeWithTheEpochOnly) {
  NextEpoch();
  const auto epoch = Read<uint64_t>("epoch");
  const auto allocated = Read<size_t>("stats.allocated");
  ASSERT_NE(heap_->page_heap.AllocateLarge(100, kPageSize), nullptr);
  EXPECT_EQ(Read<size_t>("stats.allocated"), allocated);
  EXPECT_EQ(Read<uint64_t>("epoch"), epoch);
  EXPECT_EQ(Read<size_t>("approximate_stats.active"), allocated + 100 * kPageSize);
  uint64_t value = 77;
  size_t length = sizeof(value);
  EXPECT_EQ(MallctlByName(control_, "epoch", &value, &length, &value, sizeof(value)), 0);
  EXPECT_EQ(value, epoch + 1);  // the new one
  EXPECT_EQ(Read<size_t>("stats.allocated"), allocated + 100 * kPageSize);
}

TEST_F(MallctlTest, ASnapshotLeavesTheEpochAlone) {
  NextEpoch();
  ASSERT_NE(heap_->page_heap.AllocateLarge(100, kPageSize), nullptr);
  StatsSnapshot snapshot;
  const auto take = [&snapshot](const StatsSnapshot& now) { snapshot = now; };
  EXPECT_TRUE(control_.WithNumbersNow(take));
  EXPECT_EQ(snapshot.allocated(), 100 * kPageSize);
  EXPECT_EQ(Read<size_t>("stats.allocated"), 0u);
  EXPECT_EQ(Read<uint64_t>("epoch"), 1u + 1u);
  calls().inside = true;
  EXPECT_FALSE(control_.WithNumbersNow(take));
}

TEST_F(MallctlTest, TheFirstReadTakesTheStatistics) {
  ASSERT_NE(heap_->page_heap.AllocateLarge(100, kPageSize), nullptr);
  EXPECT_EQ(Read<size_t>("stats.allocated"), 100 * kPageSize);
  EXPECT_EQ(Read<uint64_t>("epoch"), 1u);
}

TEST_F(MallctlTest, ABoolIsAByte) {
  char enabled[2] = {0x55, 0x55};
  size_t length = 1;
  EXPECT_EQ(MallctlByName(control_, "thread.tcache.enabled", enabled, &length, nullptr, 0), 0);
  EXPECT_EQ(enabled[0], 1);
  EXPECT_EQ(enabled[1], 0x55);
  EXPECT_EQ(Write<char>("thread.tcache.enabled", 0), 0);
  EXPECT_EQ(Write<int>("thread.tcache.enabled", 1), EINVAL);
  EXPECT_FALSE(calls().cache_enabled);
}

TEST_F(MallctlTest, AForkedChildHasItsLock) {
  control_.LockForFork();
  control_.ResetAfterFork();
  NextEpoch();
  control_.LockForFork();
  control_.UnlockForFork();
  NextEpoch();
}

}  // namespace
}  // namespace spanmalloc

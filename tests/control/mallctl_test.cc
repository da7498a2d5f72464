// SPDX-License-Identifier: Apache-2.0
//
// mallctl's rules: how names and MIBs are looked up, how values are checked and copied, and what
// each family of names does, over a real heap and a fake entry floor.
#include "allocator/control/mallctl.h"

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "allocator/control/control.h"
#include "allocator/telemetry/corruption_report.h"
#include "gtest/gtest.h"
#include "tests/telemetry/test_heap.h"

namespace spanmalloc {
namespace {

// What the entry floor was asked to do.
struct Calls {
  bool initializes = true;
  bool inside = false;  // a thread is inside the allocator already
  bool cache_enabled = true;
  ArenaSet* arenas = nullptr;
  unsigned thread_arena = 0;
  std::vector<unsigned> purged;  // arenas
  int flushes = 0;
  int purges = 0;
  int64_t decay_ms = 0;
  unsigned caches = 3;
  std::vector<unsigned> flushed_caches;
  std::vector<unsigned> destroyed_caches;
};

Calls& calls() {
  static Calls calls;
  return calls;
}

ControlTarget FakeTarget(TestHeap& heap, const Options& options) {
  return {
      .sources = heap.sources(),
      .options = options,
      .initialize = [] { return calls().initializes; },
      .run_inside =
          [](void (*work)(void*), void* argument) {
            if (calls().inside) return false;
            calls().inside = true;
            work(argument);
            calls().inside = false;
            return true;
          },
      .flush_thread_cache = [] { ++calls().flushes; },
      .thread_cache_enabled = [] { return calls().cache_enabled; },
      .enable_thread_cache =
          [](bool enabled) {
            calls().cache_enabled = enabled;
            return true;
          },
      .purge =
          [] {
            ++calls().purges;
            return size_t{0};
          },
      .purge_arena = [](unsigned index) { calls().purged.push_back(index); },
      .set_dirty_decay_ms = [](int64_t ms) { calls().decay_ms = ms; },
      .arena_count = [] { return calls().arenas->end(); },
      .arena_initialized = [](unsigned index) { return calls().arenas->Exists(index); },
      .arena_create =
          [](const ArenaSettings& settings, unsigned* index) {
            return calls().arenas->Create(settings, index) ? 0 : EAGAIN;
          },
      .arena_destroy = [](unsigned index) { return calls().arenas->Destroy(index) ? 0 : EFAULT; },
      .arena_reset = [](unsigned index) { return calls().arenas->Reset(index) ? 0 : EFAULT; },
      .thread_arena = [] { return calls().thread_arena; },
      .set_thread_arena =
          [](unsigned index) {
            calls().thread_arena = index;
            return 0;
          },
      .cache_create =
          [](unsigned* index) {
            *index = calls().caches++;
            return 0;
          },
      .cache_flush =
          [](unsigned index) {
            calls().flushed_caches.push_back(index);
            return index < calls().caches ? 0 : EFAULT;
          },
      .cache_destroy =
          [](unsigned index) {
            calls().destroyed_caches.push_back(index);
            return index < calls().caches ? 0 : EFAULT;
          },
  };
}

class MallctlTest : public ::testing::Test {
 protected:
  MallctlTest() {
    calls() = Calls();
    calls().arenas = &heap_->arenas;
  }

  // The value of a name, which must be readable as T.
  template <typename T>
  T Read(const std::string& name) {
    T value = {};
    size_t length = sizeof(value);
    EXPECT_EQ(MallctlByName(control_, name.c_str(), &value, &length, nullptr, 0), 0) << name;
    EXPECT_EQ(length, sizeof(value)) << name;
    return value;
  }

  template <typename T>
  int Write(const std::string& name, T value) {
    return MallctlByName(control_, name.c_str(), nullptr, nullptr, &value, sizeof(value));
  }

  int Do(const std::string& name) {
    return MallctlByName(control_, name.c_str(), nullptr, nullptr, nullptr, 0);
  }

  void NextEpoch() { EXPECT_EQ(Write<uint64_t>("epoch", 1), 0); }

  std::unique_ptr<TestHeap> heap_ = std::make_unique<TestHeap>();
  Options options_;
  ControlNumbers numbers_;
  Control control_{FakeTarget(*heap_, options_), numbers_};
};

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
                           "stats.arenas.1.pactive",
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

TEST_F(MallctlTest, CachesAreFlushedAndDestroyedByWritingTheirIndex) {
  for (const char* name : {"tcache.flush", "tcache.destroy"}) {
    unsigned index = 2;
    size_t length = sizeof(index);
    EXPECT_EQ(MallctlByName(control_, name, &index, &length, &index, 4), EPERM) << name;
    EXPECT_EQ(MallctlByName(control_, name, nullptr, &length, &index, 4), EPERM) << name;
    EXPECT_EQ(MallctlByName(control_, name, nullptr, nullptr, nullptr, 4), EINVAL) << name;
    EXPECT_EQ(Do(name), EINVAL) << name;
    EXPECT_EQ(Write<uint64_t>(name, 2), EINVAL) << name;
    EXPECT_EQ(Write<uint16_t>(name, 2), EINVAL) << name;
    EXPECT_EQ(Write<unsigned>(name, 2), 0) << name;
    EXPECT_EQ(Write<unsigned>(name, 9), EFAULT) << name;
  }
  EXPECT_EQ(calls().flushed_caches, (std::vector<unsigned>{2, 9}));
  EXPECT_EQ(calls().destroyed_caches, (std::vector<unsigned>{2, 9}));
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

TEST_F(MallctlTest, TheBackgroundThreadIsTurnedOnAndOff) {
  EXPECT_FALSE(Read<bool>("background_thread"));
  for (bool wanted : {true, true, false}) {
    const bool before = heap_->background.enabled();
    bool old = !before;
    size_t length = sizeof(old);
    const char value = wanted;
    EXPECT_EQ(MallctlByName(control_, "background_thread", &old, &length, &value, 1), 0);
    EXPECT_EQ(old, before) << "the value from before the write";
    EXPECT_EQ(heap_->background.enabled(), wanted);
    EXPECT_EQ(Read<bool>("background_thread"), wanted);
  }
}

TEST_F(MallctlTest, ThereIsOneBackgroundThreadAtMost) {
  EXPECT_EQ(Read<size_t>("max_background_threads"), 1u);
  EXPECT_EQ(Write<size_t>("max_background_threads", 1), 0);
  EXPECT_EQ(Write<size_t>("max_background_threads", 0), EINVAL);
  EXPECT_EQ(Write<size_t>("max_background_threads", 4), EINVAL);
}

TEST_F(MallctlTest, TheBackgroundThreadIsCounted) {
  EXPECT_EQ(Read<size_t>("stats.background_thread.num_threads"), 0u);
  EXPECT_EQ(Read<uint64_t>("stats.background_thread.num_runs"), 0u);
  EXPECT_EQ(Read<uint64_t>("stats.background_thread.run_interval"), 0u);
  ASSERT_NE(heap_->registry.Create(), nullptr);
  ASSERT_NE(heap_->registry.Create(), nullptr);
  ASSERT_NE(heap_->page_heap.AllocateLarge(2000, 1), nullptr);
  heap_->background.SetEnabled(true);
  heap_->background.NoteActivity();
  ASSERT_TRUE(heap_->background.Claim());
  uint64_t sleep_ms = 0;
  ASSERT_TRUE(heap_->background.Step(&sleep_ms));
  EXPECT_EQ(Read<size_t>("stats.background_thread.num_threads"), 0u) << "of the epoch before";
  NextEpoch();
  EXPECT_EQ(Read<size_t>("stats.background_thread.num_threads"), 1u);
  EXPECT_EQ(Read<uint64_t>("stats.background_thread.num_runs"), 1u);
}

TEST_F(MallctlTest, WithoutABackgroundThreadNoneIsTurnedOn) {
  ControlTarget target = FakeTarget(*heap_, options_);
  target.sources.background = nullptr;
  ControlNumbers numbers;
  Control control(target, numbers);
  bool value = true;
  size_t length = sizeof(value);
  EXPECT_EQ(MallctlByName(control, "background_thread", &value, &length, nullptr, 0), 0);
  EXPECT_FALSE(value);
  value = true;
  EXPECT_EQ(MallctlByName(control, "background_thread", nullptr, nullptr, &value, 1), EFAULT);
  value = false;
  EXPECT_EQ(MallctlByName(control, "background_thread", nullptr, nullptr, &value, 1), 0);
}

TEST_F(MallctlTest, AllArenasAreNamedInThreeWays) {
  EXPECT_EQ(Read<unsigned>("arenas.narenas"), 1u);
  for (const char* index : {"0", "1", "4096"}) {
    EXPECT_EQ(Do(std::string("arena.") + index + ".purge"), 0) << index;
    EXPECT_EQ(Do(std::string("arena.") + index + ".decay"), 0) << index;
  }
  EXPECT_EQ(calls().purges, 2);
  EXPECT_EQ(calls().purged, std::vector<unsigned>{0});
  EXPECT_EQ(Do("arena.4097.purge"), EFAULT);
  EXPECT_EQ(Do("arena.2.purge"), ENOENT);
  EXPECT_TRUE(Read<bool>("arena.0.initialized"));
  EXPECT_FALSE(Read<bool>("arena.1.initialized"));
  EXPECT_TRUE(Read<bool>("arena.4096.initialized"));
}

TEST_F(MallctlTest, DecayTimesAreSetForTheHeap) {
  options_.dirty_decay_ms = 1234;
  control_.Start();
  EXPECT_EQ(calls().decay_ms, 1234);
  EXPECT_EQ(Read<int64_t>("arena.0.dirty_decay_ms"), 1234);
  EXPECT_EQ(Read<int64_t>("arenas.dirty_decay_ms"), 1234);
  int64_t old = 0;
  size_t length = sizeof(old);
  const int64_t wanted = -1;
  EXPECT_EQ(MallctlByName(control_, "arena.0.dirty_decay_ms", &old, &length, &wanted, 8), 0);
  EXPECT_EQ(old, 1234);
  EXPECT_EQ(calls().decay_ms, -1);
  EXPECT_EQ(Write<int64_t>("arena.4096.dirty_decay_ms", 0), 0);
  EXPECT_EQ(calls().decay_ms, 0);
  EXPECT_EQ(Write<int64_t>("arena.0.dirty_decay_ms", -2), EFAULT);
  EXPECT_EQ(Write<int64_t>("arena.1.dirty_decay_ms", 5), EFAULT);
  EXPECT_EQ(Write<int64_t>("arena.4097.dirty_decay_ms", 5), EFAULT);
  EXPECT_EQ(Read<int64_t>("stats.arenas.0.dirty_decay_ms"), 0);
  EXPECT_EQ(Write<int64_t>("arenas.dirty_decay_ms", 5), 0);
  EXPECT_EQ(Write<int64_t>("arenas.muzzy_decay_ms", -2), EFAULT);
  EXPECT_EQ(Write<int64_t>("arena.0.muzzy_decay_ms", 7), 0);
  EXPECT_EQ(Read<int64_t>("arena.0.muzzy_decay_ms"), 7);
  EXPECT_EQ(Read<int64_t>("arena.0.dirty_decay_ms"), 0);
}

TEST_F(MallctlTest, ThreadCacheCanBeSwitched) {
  bool old = false;
  size_t length = sizeof(old);
  const bool off = false;
  EXPECT_EQ(MallctlByName(control_, "thread.tcache.enabled", &old, &length, &off, 1), 0);
  EXPECT_TRUE(old);
  EXPECT_FALSE(calls().cache_enabled);
  EXPECT_EQ(Do("thread.tcache.flush"), EFAULT);
  EXPECT_EQ(Write<bool>("thread.tcache.enabled", true), 0);
  EXPECT_EQ(Do("thread.tcache.flush"), 0);
  EXPECT_EQ(Do("thread.idle"), 0);
  EXPECT_EQ(calls().flushes, 2);
}

TEST_F(MallctlTest, AnArenaIsMadeOnlyForACallerThatTakesItsIndex) {
  unsigned index = 77;
  size_t length = 8;
  EXPECT_EQ(MallctlByName(control_, "arenas.create", &index, &length, nullptr, 0), EINVAL);
  EXPECT_EQ(length, 0u);
  EXPECT_EQ(Do("arenas.create"), EINVAL);
  EXPECT_EQ(calls().arenas->end(), 1u);
  length = sizeof(index);
  EXPECT_EQ(MallctlByName(control_, "arenas.create", &index, &length, nullptr, 0), 0);
  EXPECT_EQ(index, 1u);
  EXPECT_EQ(Read<unsigned>("arenas.narenas"), 2u);
  EXPECT_TRUE(Read<bool>("arena.1.initialized"));
  EXPECT_EQ(Do("arena.1.destroy"), 0);
  EXPECT_EQ(Do("arena.1.destroy"), EFAULT);
  EXPECT_EQ(Do("arena.0.destroy"), EFAULT);
  EXPECT_EQ(Do("arena.0.reset"), EFAULT);
  EXPECT_EQ(Do("arena.4096.destroy"), EFAULT);
}

TEST_F(MallctlTest, AnEntryFloorWithoutFeaturesAnswersSo) {
  ControlNumbers numbers;
  Control bare({.sources = heap_->sources(), .options = options_}, numbers);
  unsigned index = 0;
  size_t length = sizeof(index);
  EXPECT_EQ(MallctlByName(bare, "arenas.create", &index, &length, nullptr, 0), EAGAIN);
  EXPECT_EQ(MallctlByName(bare, "thread.arena", &index, &length, nullptr, 0), 0);
  index = 1;
  EXPECT_EQ(MallctlByName(bare, "thread.arena", nullptr, nullptr, &index, 4), EFAULT);
  const bool off = false;
  EXPECT_EQ(MallctlByName(bare, "thread.tcache.enabled", nullptr, nullptr, &off, 1), EFAULT);
  EXPECT_EQ(MallctlByName(bare, "arena.0.purge", nullptr, nullptr, nullptr, 0), EAGAIN);
  EXPECT_EQ(MallctlByName(bare, "thread.tcache.flush", nullptr, nullptr, nullptr, 0), 0);
}

TEST_F(MallctlTest, OptionsReadWhatIsInEffect) {
  options_.thread_cache_bytes = 12345;
  options_.zero_realloc = "abort";
  EXPECT_EQ(Read<size_t>("opt.thread_cache_bytes"), 12345u);
  EXPECT_STREQ(Read<const char*>("opt.zero_realloc"), "abort");
  EXPECT_FALSE(Read<bool>("opt.prof"));
  EXPECT_EQ(Read<unsigned>("opt.narenas"), 1u);
  EXPECT_EQ(Read<int64_t>("opt.dirty_decay_ms"), 2000);
  EXPECT_STREQ(Read<const char*>("opt.stats_print_opts"), "");
  EXPECT_EQ(Write<bool>("opt.prof", true), EPERM);
}

TEST_F(MallctlTest, SizeClassesAreTheAllocators) {
  EXPECT_EQ(Read<size_t>("arenas.quantum"), kMinAlignment);
  EXPECT_EQ(Read<unsigned>("arenas.nbins"), kSizeClasses);
  EXPECT_EQ(Read<size_t>("arenas.bin.68.size"), kMaxClassSize);
  EXPECT_EQ(Read<unsigned>("arenas.bin.0.nregs"), kSizeClassTable[1].objects);
  EXPECT_EQ(Read<size_t>("arenas.bin.0.slab_size"), kSizeClassTable[1].pages * kPageSize);
  const auto large = Read<unsigned>("arenas.nlextents");
  size_t last = kMaxClassSize;
  for (unsigned k = 0; k < large; ++k) {
    const auto size = Read<size_t>("arenas.lextent." + std::to_string(k) + ".size");
    EXPECT_GT(size, last);
    EXPECT_LE(size, last + last / 4);
    last = size;
  }
  EXPECT_EQ(last, kWindowSize);
}

TEST_F(MallctlTest, ArenaStatisticsAreTheHeaps) {
  ThreadState* thread = heap_->registry.Create();
  bool zeroed = false;
  ASSERT_NE(thread->Refill(5, &zeroed), nullptr);
  ASSERT_NE(heap_->page_heap.AllocateLarge(100, kPageSize), nullptr);
  NextEpoch();
  const size_t size = kSizeClassTable[5].size;
  for (const char* arena : {"stats.arenas.0.", "stats.arenas.4096."}) {
    const std::string at = arena;
    EXPECT_EQ(Read<size_t>(at + "small.allocated"), size);
    EXPECT_EQ(Read<size_t>(at + "large.allocated"), 100 * kPageSize);
    EXPECT_EQ(Read<size_t>(at + "bins.4.curregs"), 1u);
    EXPECT_EQ(Read<uint64_t>(at + "bins.4.nmalloc") - Read<uint64_t>(at + "bins.4.ndalloc"), 1u);
    EXPECT_EQ(Read<size_t>(at + "bins.4.curslabs"), 1u);
    EXPECT_EQ(Read<unsigned>(at + "nthreads"), 1u);
    EXPECT_EQ(Read<size_t>(at + "pactive") * kPageSize, Read<size_t>("stats.active"));
  }
  EXPECT_EQ(Read<size_t>("stats.arenas.4097.small.allocated"), 0u);
  EXPECT_EQ(Read<size_t>("stats.arenas.4097.bins.4.curregs"), 0u);
  EXPECT_EQ(Read<size_t>("stats.allocated"), size + 100 * kPageSize);
  EXPECT_LE(Read<size_t>("stats.allocated"), Read<size_t>("stats.active"));
  EXPECT_LE(Read<size_t>("stats.active"), Read<size_t>("stats.resident"));
  EXPECT_LE(Read<size_t>("stats.resident"), Read<size_t>("stats.mapped"));
  heap_->registry.Destroy(thread);
}

// As jemalloc answers whose profiler was built and not turned on.
TEST_F(MallctlTest, TheProfilerIsOff) {
  for (const char* name : {"prof.active", "prof.thread_active_init", "prof.gdump",
                           "thread.prof.active", "opt.prof", "config.prof"}) {
    EXPECT_FALSE(Read<bool>(name)) << name;
  }
  EXPECT_EQ(Write<bool>("prof.active", true), ENOENT);
  EXPECT_EQ(Write<bool>("prof.active", false), 0);
  EXPECT_EQ(Write<int>("prof.active", 0), EINVAL);
  for (const char* name : {"prof.thread_active_init", "prof.gdump", "thread.prof.active"}) {
    EXPECT_EQ(Write<bool>(name, true), ENOENT) << name;
  }
  EXPECT_STREQ(Read<const char*>("opt.prof_prefix"), "jeprof");
  EXPECT_EQ(Read<size_t>("opt.lg_prof_sample"), 19u);
  EXPECT_EQ(Read<size_t>("prof.lg_sample"), 0u);
  EXPECT_EQ(Read<uint64_t>("prof.interval"), 0u);
}

TEST_F(MallctlTest, WhatIsAbsentHasAMibAndNoEntry) {
  for (const char* name : {"prof.dump", "prof.prefix", "prof.reset", "prof.log_start",
                           "prof.log_stop", "thread.prof.name"}) {
    size_t mib[3];
    size_t miblen = 3;
    EXPECT_EQ(MallctlNameToMib(control_, name, mib, &miblen), 0) << name;
    EXPECT_EQ(MallctlByMib(control_, mib, miblen, nullptr, nullptr, nullptr, 0), ENOENT) << name;
    EXPECT_EQ(Write<const char*>(name, "x"), ENOENT) << name;
    EXPECT_EQ(Do(name), ENOENT) << name;
  }
}

TEST_F(MallctlTest, HooksOfTheProfilerCanBeReadOnly) {
  const std::string hook = "experimental.hooks.prof_backtrace";
  EXPECT_EQ(Do(hook), EINVAL);
  EXPECT_EQ(Read<void*>(hook), nullptr);
  EXPECT_EQ(Write<void (*)()>(hook, [] {}), ENOENT);
  EXPECT_EQ(Write<int>(hook, 0), EINVAL);
}

TEST_F(MallctlTest, AHookTakesThePlaceOfTheEnd) {
  const std::string name = "experimental.hooks.safety_check_abort";
  static std::string told;
  EXPECT_EQ(Write<void (*)(const char*)>(name, [](const char* line) { told = line; }), 0);
  ReportBadPointer({.fault = Fault::kNotABlock,
                    .pointer = &told,
                    .claimed_size = 0,
                    .block_size = 0,
                    .block_start = nullptr});
  EXPECT_NE(told.find("invalid free"), std::string::npos) << told;
  EXPECT_EQ(Write<void (*)(const char*)>(name, nullptr), 0);
  void* hook = nullptr;
  size_t length = sizeof(hook);
  EXPECT_EQ(MallctlByName(control_, name.c_str(), &hook, &length, nullptr, 0), EPERM);
}

// 4096 is all arenas, 4097 those that were destroyed, and for actions the number of arenas is all.
TEST_F(MallctlTest, IndicesOfSeveralArenas) {
  const std::string count = std::to_string(Read<unsigned>("arenas.narenas"));
  EXPECT_EQ(Do("arena." + count + ".purge"), 0);
  EXPECT_EQ(Do("arena." + count + ".decay"), 0);
  EXPECT_EQ(Do("arena.4096.purge"), 0);
  EXPECT_EQ(Do("arena.4097.purge"), EFAULT);
  EXPECT_EQ(Do("arena.4098.purge"), ENOENT);
  EXPECT_TRUE(Read<bool>("arena.4096.initialized"));
  EXPECT_EQ(Read<size_t>("stats.arenas.4097.small.allocated"), 0u);
  EXPECT_EQ(Do("stats.arenas.4098.pactive"), ENOENT);
  EXPECT_EQ(Do("stats.arenas." + count + ".pactive"), ENOENT);
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

TEST_F(MallctlTest, LargeBlocksAreCountedByClass) {
  Span* span = heap_->page_heap.AllocateLarge(48, kPageSize);  // 384 KiB, the bound of the second
  ASSERT_NE(span, nullptr);
  ASSERT_NE(heap_->page_heap.AllocateLarge(300, kPageSize), nullptr);
  NextEpoch();
  const std::string large = "stats.arenas.0.lextents.";
  EXPECT_EQ(Read<size_t>(large + "0.curlextents"), 0u);
  EXPECT_EQ(Read<size_t>(large + "1.curlextents"), 1u);
  EXPECT_EQ(Read<size_t>("arenas.lextent.1.size"), 48 * kPageSize);
  ASSERT_TRUE(heap_->page_heap.GrowLarge(span, 64, nullptr));
  NextEpoch();
  EXPECT_EQ(Read<uint64_t>(large + "1.ndalloc"), 1u);
  EXPECT_EQ(Read<size_t>(large + "1.curlextents"), 0u);
  EXPECT_EQ(Read<size_t>(large + "3.curlextents"), 1u) << "grown";
  heap_->page_heap.ShrinkLarge(span, 40);
  NextEpoch();
  EXPECT_EQ(Read<size_t>(large + "0.curlextents"), 1u) << "shrunk";
  EXPECT_EQ(heap_->page_heap.FreeLarge(reinterpret_cast<void*>(span->start)), LargeFault::kNone);
  NextEpoch();
  size_t live = 0;
  for (unsigned k = 0; k < kLargeClasses; ++k) {
    live += Read<size_t>(large + std::to_string(k) + ".curlextents");
  }
  EXPECT_EQ(live, 1u);
}

TEST_F(MallctlTest, RunsOfFreePagesAddUp) {
  std::vector<Span*> spans;
  for (size_t pages : {3, 20, 3, 60, 3, 300, 3, 700}) {
    spans.push_back(heap_->page_heap.AllocateLarge(pages, kPageSize));
    ASSERT_NE(spans.back(), nullptr);
  }
  for (size_t i = 1; i < spans.size(); i += 2) {
    heap_->page_heap.FreeLarge(reinterpret_cast<void*>(spans[i]->start));
  }
  NextEpoch();
  const auto sum = [this](const char* member) {
    size_t bytes = 0;
    for (size_t e = 0; e < kExtentClasses; ++e) {
      bytes += Read<size_t>("stats.arenas.0.extents." + std::to_string(e) + "." + member);
    }
    return bytes;
  };
  const PageHeapStats heap = heap_->page_heap.Stats();
  EXPECT_EQ(sum("dirty_bytes"), heap.dirty_pages * kPageSize);
  EXPECT_EQ(sum("retained_bytes"), heap.clean_pages * kPageSize);
  EXPECT_GE(sum("ndirty"), 3u);
  EXPECT_GE(Read<size_t>("stats.arenas.0.extents.1.ndirty"), 0u);
  EXPECT_EQ(Read<size_t>("stats.arenas.4097.extents.1.ndirty"), 0u);
}

TEST_F(MallctlTest, LocksAreCounted) {
  NextEpoch();
  const auto mallctls = Read<uint64_t>("stats.mutexes.ctl.num_ops");
  const auto lists = Read<uint64_t>("spanmalloc.locks.central_free_list.num_ops");
  const auto bin = Read<uint64_t>("stats.arenas.0.bins.4.mutex.num_ops");
  const auto heap = Read<uint64_t>("stats.arenas.4096.mutexes.extents_dirty.num_ops");
  ThreadState* thread = heap_->registry.Create();
  bool zeroed = false;
  ASSERT_NE(thread->Refill(5, &zeroed), nullptr);
  EXPECT_EQ(Read<uint64_t>("stats.arenas.0.bins.4.mutex.num_ops"), bin) << "of the epoch before";
  NextEpoch();
  EXPECT_GT(Read<uint64_t>("stats.mutexes.ctl.num_ops"), mallctls);
  EXPECT_GT(Read<uint64_t>("stats.arenas.0.bins.4.mutex.num_ops"), bin);
  EXPECT_EQ(Read<uint64_t>("stats.arenas.0.bins.5.mutex.num_ops"), 0u);
  EXPECT_EQ(Read<uint64_t>("stats.arenas.4097.bins.4.mutex.num_ops"), 0u);
  EXPECT_GT(Read<uint64_t>("spanmalloc.locks.central_free_list.num_ops"), lists);
  EXPECT_GT(Read<uint64_t>("stats.arenas.4096.mutexes.extents_dirty.num_ops"), heap);
  EXPECT_EQ(Read<unsigned>("stats.mutexes.prof.max_num_thds"), 0u);
  heap_->registry.Destroy(thread);
}

TEST_F(MallctlTest, LocksAreCountedAnewAfterAReset) {
  ThreadState* thread = heap_->registry.Create();
  bool zeroed = false;
  ASSERT_NE(thread->Refill(5, &zeroed), nullptr);
  NextEpoch();
  EXPECT_GT(Read<uint64_t>("stats.arenas.0.bins.4.mutex.num_ops"), 0u);
  EXPECT_GT(Read<uint64_t>("spanmalloc.locks.thread_state.num_ops"), 0u);
  EXPECT_EQ(Do("stats.mutexes.reset"), 0);
  NextEpoch();
  EXPECT_LT(Read<uint64_t>("stats.arenas.0.bins.4.mutex.num_ops"), 4u);
  EXPECT_LT(Read<uint64_t>("spanmalloc.locks.thread_state.num_ops"), 4u);
  heap_->registry.Destroy(thread);
  NextEpoch();
  EXPECT_LT(Read<uint64_t>("spanmalloc.locks.thread_state.num_ops"), 8u) << "none is lost or new";
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

// SPDX-License-Identifier: Apache-2.0
//
// What can be set and done by name: background threads, decay times, thread caches, arenas,
// options, and what a build without a heap profiler answers.
#include <errno.h>

#include <memory>
#include <string>
#include <vector>

#include "allocator/telemetry/corruption_report.h"
#include "tests/control/control_test.h"

namespace spanmalloc {
namespace {

class GeneralNamesTest : public ControlTest {};

TEST_F(GeneralNamesTest, CachesAreFlushedAndDestroyedByWritingTheirIndex) {
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

TEST_F(GeneralNamesTest, TheBackgroundThreadIsTurnedOnAndOff) {
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

TEST_F(GeneralNamesTest, ThereIsOneBackgroundThreadAtMost) {
  EXPECT_EQ(Read<size_t>("max_background_threads"), 1u);
  EXPECT_EQ(Write<size_t>("max_background_threads", 1), 0);
  EXPECT_EQ(Write<size_t>("max_background_threads", 0), EINVAL);
  EXPECT_EQ(Write<size_t>("max_background_threads", 4), EINVAL);
}

TEST_F(GeneralNamesTest, TheBackgroundThreadIsCounted) {
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

TEST_F(GeneralNamesTest, WithoutABackgroundThreadNoneIsTurnedOn) {
  ControlTarget target = FakeTarget(*heap_, options_);
  target.sources.background = nullptr;
  auto numbers = std::make_unique<ControlNumbers>();
  Control control(target, *numbers);
  bool value = true;
  size_t length = sizeof(value);
  EXPECT_EQ(MallctlByName(control, "background_thread", &value, &length, nullptr, 0), 0);
  EXPECT_FALSE(value);
  value = true;
  EXPECT_EQ(MallctlByName(control, "background_thread", nullptr, nullptr, &value, 1), EFAULT);
  value = false;
  EXPECT_EQ(MallctlByName(control, "background_thread", nullptr, nullptr, &value, 1), 0);
}

TEST_F(GeneralNamesTest, AllArenasAreNamedInThreeWays) {
  EXPECT_EQ(Read<unsigned>("arenas.narenas"), 1u);
  for (const char* index : {"0", "1", "4096"}) {
    EXPECT_EQ(Do(std::string("arena.") + index + ".purge"), 0) << index;
    EXPECT_EQ(Do(std::string("arena.") + index + ".decay"), 0) << index;
  }
  EXPECT_EQ(calls().purges, 2);
  EXPECT_EQ(calls().purged, std::vector<unsigned>{0});
  EXPECT_EQ(Do("arena.4097.purge"), 0) << "nothing to be purged";
  EXPECT_EQ(Do("arena.2.purge"), ENOENT);
  EXPECT_TRUE(Read<bool>("arena.0.initialized"));
  EXPECT_FALSE(Read<bool>("arena.1.initialized"));
  EXPECT_TRUE(Read<bool>("arena.4096.initialized"));
}

TEST_F(GeneralNamesTest, DecayTimesAreSetForTheHeap) {
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

TEST_F(GeneralNamesTest, ThreadCacheCanBeSwitched) {
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

TEST_F(GeneralNamesTest, AnArenaIsMadeOnlyForACallerThatTakesItsIndex) {
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

TEST_F(GeneralNamesTest, AnArenaIsMadeAsAConfigSays) {
  const char* name = "experimental.arenas_create_ext";
  unsigned index = 77;
  size_t length = 8;
  ExtentHooks hooks = {};
  ArenaConfig config = {&hooks, 0};
  EXPECT_EQ(MallctlByName(control_, name, &index, &length, &config, sizeof(config)), EINVAL);
  EXPECT_EQ(length, 0u);
  EXPECT_EQ(Do(name), EINVAL);
  length = sizeof(index);
  EXPECT_EQ(MallctlByName(control_, name, &index, &length, &config, sizeof(&hooks)), EINVAL);
  EXPECT_EQ(MallctlByName(control_, name, &index, &length, &config, sizeof(config)), EINVAL)
      << "hooks without alloc";
  config.extent_hooks = nullptr;
  EXPECT_EQ(MallctlByName(control_, name, &index, &length, &config, sizeof(config)), EINVAL);
  EXPECT_EQ(index, 77u);
  EXPECT_EQ(calls().arenas->end(), 1u);
  EXPECT_EQ(MallctlByName(control_, name, &index, &length, nullptr, 0), 0);
  EXPECT_EQ(index, 1u);
  // Memory isn't asked for until it is needed, but with metadata_use_hooks.
  static int asked;
  asked = 0;
  hooks.alloc = [](ExtentHooks*, void*, size_t, size_t, bool*, bool*, unsigned) -> void* {
    ++asked;
    return nullptr;
  };
  config.extent_hooks = &hooks;
  EXPECT_EQ(MallctlByName(control_, name, &index, &length, &config, sizeof(config)), 0);
  EXPECT_EQ(index, 2u);
  EXPECT_EQ(asked, 0);
  config.metadata_use_hooks = 1;
  EXPECT_EQ(MallctlByName(control_, name, &index, &length, &config, sizeof(config)), EAGAIN);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(Do("arena.2.destroy"), 0);
  EXPECT_EQ(Do("arena.1.destroy"), 0);
}

TEST_F(GeneralNamesTest, AnEntryFloorWithoutFeaturesAnswersSo) {
  auto numbers = std::make_unique<ControlNumbers>();
  Control bare({.sources = heap_->sources(), .options = options_}, *numbers);
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

TEST_F(GeneralNamesTest, OptionsReadWhatIsInEffect) {
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

// As jemalloc answers whose profiler was built and not turned on.
TEST_F(GeneralNamesTest, TheProfilerIsOff) {
  for (const char* name : {"prof.active", "prof.thread_active_init", "prof.gdump",
                           "thread.prof.active", "opt.prof", "config.prof"}) {
    EXPECT_FALSE(Read<bool>(name)) << name;
  }
  EXPECT_EQ(Write<bool>("prof.active", true), ENOENT);
  EXPECT_EQ(Write<bool>("prof.active", false), 0);
  EXPECT_EQ(Write<int>("prof.active", 0), EINVAL);
  EXPECT_EQ(Write<int>("prof.gdump", 0), ENOENT) << "whatever its size";
  for (const char* name : {"prof.thread_active_init", "prof.gdump", "thread.prof.active"}) {
    EXPECT_EQ(Write<bool>(name, true), ENOENT) << name;
  }
  EXPECT_STREQ(Read<const char*>("opt.prof_prefix"), "jeprof");
  EXPECT_EQ(Read<size_t>("opt.lg_prof_sample"), 19u);
  EXPECT_EQ(Read<size_t>("prof.lg_sample"), 0u);
  EXPECT_EQ(Read<uint64_t>("prof.interval"), 0u);
}

TEST_F(GeneralNamesTest, WhatIsAbsentHasAMibAndNoEntry) {
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

TEST_F(GeneralNamesTest, HooksOfTheProfilerCanBeReadOnly) {
  const std::string hook = "experimental.hooks.prof_backtrace";
  EXPECT_EQ(Do(hook), EINVAL);
  EXPECT_EQ(Read<void*>(hook), nullptr);
  EXPECT_EQ(Write<void (*)()>(hook, [] {}), ENOENT);
  EXPECT_EQ(Write<int>(hook, 0), ENOENT);
}

TEST_F(GeneralNamesTest, AHookTakesThePlaceOfTheEnd) {
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
  EXPECT_EQ(Do(name), 0) << "nothing is to be written";
  EXPECT_EQ(Write<int>(name, 0), EINVAL);
}

// 4096 is all arenas, 4097 those that were destroyed, and for actions the number of arenas is all.
TEST_F(GeneralNamesTest, IndicesOfSeveralArenas) {
  ASSERT_NE(heap_->page_heap.AllocateLarge(100, kPageSize), nullptr);
  const std::string count = std::to_string(Read<unsigned>("arenas.narenas"));
  EXPECT_EQ(Do("arena." + count + ".purge"), 0);
  EXPECT_EQ(Do("arena." + count + ".decay"), 0);
  EXPECT_EQ(Do("arena.4096.purge"), 0);
  EXPECT_EQ(Do("arena.4097.purge"), 0);
  EXPECT_EQ(Do("arena.4097.decay"), 0);
  EXPECT_EQ(Do("arena.4097.dirty_decay_ms"), EFAULT);
  EXPECT_EQ(Do("arena.4097.dss"), EFAULT);
  EXPECT_EQ(Do("stats.arenas.4097.dss"), 0);
  EXPECT_EQ(Do("stats.arenas.4097.dirty_decay_ms"), 0);
  EXPECT_EQ(Do("arena.4098.purge"), ENOENT);
  EXPECT_TRUE(Read<bool>("arena.4096.initialized"));
  EXPECT_EQ(Read<size_t>("stats.arenas.4097.small.allocated"), 0u);
  EXPECT_EQ(Do("stats.arenas.4098.pactive"), ENOENT);
  NextEpoch();
  for (const std::string& all : {count, std::string("4096")}) {
    EXPECT_EQ(Read<size_t>("stats.arenas." + all + ".pactive") * kPageSize,
              Read<size_t>("stats.active"));
  }
  // An arena that was made has the index that meant all of them.
  unsigned index = 0;
  size_t length = sizeof(index);
  EXPECT_EQ(MallctlByName(control_, "arenas.create", &index, &length, nullptr, 0), 0);
  NextEpoch();
  EXPECT_EQ(Read<size_t>("stats.arenas." + count + ".pactive"), 0u);
}

}  // namespace
}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// arena.<i>.*, arenas.* and stats.arenas.<i>.* of explicit arenas: each arena's own settings and
// numbers, and sums that add up.
#include <errno.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "allocator/control/mallctl.h"
#include "allocator/control/stats_print.h"
#include "allocator/control/stats_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/mallctl_names.h"
#include "tests/telemetry/test_heap.h"

namespace spanmalloc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr SizeClass kClass = 7;

ArenaSet* arenas;
unsigned thread_arena;

class ArenaNamesTest : public testing::Test, protected MallctlNames {
 protected:
  ArenaNamesTest() : MallctlNames(control_) {
    arenas = &heap_->arenas;
    thread_arena = 0;
    options_.dirty_decay_ms = 2000;
    control_.Start();
  }
  ~ArenaNamesTest() {
    EXPECT_TRUE(heap_->arenas.CheckInvariants());
    EXPECT_TRUE(heap_->page_heap.CheckInvariants());
  }

  static ControlTarget Target(TestHeap& heap, const Options& options) {
    return {
        .sources = heap.sources(),
        .options = options,
        .purge = [] { return size_t{0}; },
        .purge_arena = [](unsigned index) { arenas->Purge(index); },
        .arena_count = [] { return arenas->end(); },
        .arena_initialized = [](unsigned index) { return arenas->Exists(index); },
        .arena_create =
            [](const ArenaSettings& settings, unsigned* index) {
              return arenas->Create(settings, index) ? 0 : EAGAIN;
            },
        .arena_destroy = [](unsigned index) { return arenas->Destroy(index) ? 0 : EFAULT; },
        .arena_reset = [](unsigned index) { return arenas->Reset(index) ? 0 : EFAULT; },
        .thread_arena = [] { return thread_arena; },
        .set_thread_arena =
            [](unsigned index) {
              if (index != 0 && !arenas->Bind(index)) return EFAULT;
              if (thread_arena != 0) arenas->Unbind(thread_arena);
              thread_arena = index;
              return 0;
            },
    };
  }

  unsigned Create() { return Read<unsigned>("arenas.create"); }
  static std::string Of(unsigned arena, const char* name) {
    return "arena." + std::to_string(arena) + "." + name;
  }
  static std::string Stats(size_t arena, const char* name) {
    return "stats.arenas." + std::to_string(arena) + "." + name;
  }
  void* Small(unsigned arena) {
    bool zeroed;
    void* object = arenas->Allocate(arena, kClass, 0, 16, &zeroed);
    EXPECT_NE(object, nullptr);
    return object;
  }
  void* Large(unsigned arena, size_t size) {
    bool zeroed;
    void* block = arenas->Allocate(arena, kNoSizeClass, size, 16, &zeroed);
    EXPECT_NE(block, nullptr);
    memset(block, 1, size);
    return block;
  }
  int Lookup(const void* pointer, unsigned* arena) {
    size_t length = sizeof(*arena);
    return MallctlByName(control_, "arenas.lookup", arena, &length, &pointer, sizeof(pointer));
  }

  std::unique_ptr<TestHeap> heap_ = std::make_unique<TestHeap>();
  Options options_;
  ControlNumbers numbers_;
  Control control_{Target(*heap_, options_), numbers_};
};

TEST_F(ArenaNamesTest, TheIndexDestroyedLastIsGivenNext) {
  EXPECT_EQ(Create(), 1u);
  EXPECT_EQ(Create(), 2u);
  EXPECT_EQ(Create(), 3u);
  EXPECT_EQ(Do("arena.1.destroy"), 0);
  EXPECT_EQ(Do("arena.3.destroy"), 0);
  EXPECT_EQ(Do("arena.3.destroy"), EFAULT);
  EXPECT_FALSE(Read<bool>("arena.3.initialized"));
  EXPECT_EQ(Read<unsigned>("arenas.narenas"), 4u);
  EXPECT_EQ(Create(), 3u);
  EXPECT_EQ(Create(), 1u);
  EXPECT_EQ(Create(), 4u);
}

TEST_F(ArenaNamesTest, DecayTimesAreEachArenasOwn) {
  const unsigned first = Create();
  EXPECT_EQ(Read<int64_t>(Of(first, "dirty_decay_ms")), 2000);
  EXPECT_EQ(Write<int64_t>("arenas.dirty_decay_ms", 77), 0);
  EXPECT_EQ(Write<int64_t>("arenas.muzzy_decay_ms", 78), 0);
  const unsigned second = Create();
  EXPECT_EQ(Read<int64_t>(Of(first, "dirty_decay_ms")), 2000);
  EXPECT_EQ(Read<int64_t>(Of(second, "dirty_decay_ms")), 77);
  EXPECT_EQ(Read<int64_t>(Of(second, "muzzy_decay_ms")), 78);
  EXPECT_EQ(Write<int64_t>(Of(second, "dirty_decay_ms"), -1), 0);
  EXPECT_EQ(Write<int64_t>(Of(second, "dirty_decay_ms"), -2), EFAULT);
  EXPECT_EQ(Read<int64_t>("arena.0.dirty_decay_ms"), 2000);
  EXPECT_EQ(Read<int64_t>(Stats(second, "dirty_decay_ms")), -1);
  EXPECT_EQ(Write<int64_t>("arena.4096.dirty_decay_ms", 5), 0);
  for (unsigned arena : {0u, first, second}) {
    EXPECT_EQ(Read<int64_t>(Of(arena, "dirty_decay_ms")), 5);
  }
  EXPECT_EQ(Read<int64_t>("arenas.dirty_decay_ms"), 77) << "of those to come";
  EXPECT_EQ(Do(Of(second, "destroy")), 0);
  EXPECT_EQ(Write<int64_t>(Of(second, "dirty_decay_ms"), 5), EFAULT);
}

TEST_F(ArenaNamesTest, DecayTimesHaveBounds) {
  const unsigned arena = Create();
  for (const std::string& of : {std::string("arenas."), Of(0, ""), Of(arena, ""), Of(4096, "")}) {
    for (const std::string& name : {of + "dirty_decay_ms", of + "muzzy_decay_ms"}) {
      for (const int64_t good : {int64_t{-1}, int64_t{0}, int64_t{18'446'744'072'000}}) {
        EXPECT_EQ(Write<int64_t>(name, good), 0) << name << " " << good;
        EXPECT_EQ(Read<int64_t>(name), good) << name;
      }
      for (const int64_t bad : {int64_t{-2}, INT64_MIN, int64_t{18'446'744'072'001}, INT64_MAX}) {
        EXPECT_EQ(Write<int64_t>(name, bad), EFAULT) << name << " " << bad;
        EXPECT_EQ(Read<int64_t>(name), 18'446'744'072'000) << name;
      }
    }
  }
}

TEST_F(ArenaNamesTest, PurgeAndDecayActOnOneArena) {
  const unsigned first = Create();
  const unsigned second = Create();
  for (unsigned arena : {first, second}) heap_->page_heap.FreeLarge(Large(arena, 1 << 20));
  NextEpoch();
  EXPECT_GE(Read<size_t>(Stats(first, "pdirty")), (1u << 20) / kPageSize);
  EXPECT_EQ(Do(Of(first, "purge")), 0);
  EXPECT_EQ(Do(Of(second, "decay")), 0);
  NextEpoch();
  EXPECT_EQ(Read<size_t>(Stats(first, "pdirty")), 0u);
  EXPECT_GE(Read<size_t>(Stats(second, "pdirty")), (1u << 20) / kPageSize);
  EXPECT_EQ(Write<int64_t>(Of(second, "dirty_decay_ms"), 0), 0);
  EXPECT_EQ(Do(Of(second, "decay")), 0);
  NextEpoch();
  EXPECT_EQ(Read<size_t>(Stats(second, "pdirty")), 0u);
}

TEST_F(ArenaNamesTest, EachArenaHasItsNumbersAndTheyAddUp) {
  const unsigned first = Create();
  const unsigned second = Create();
  const unsigned gone = Create();
  for (int i = 0; i < 10; ++i) Small(first);
  for (int i = 0; i < 20; ++i) Small(second);
  for (int i = 0; i < 5; ++i) arenas->Free(heap_->page_map.SpanOf(Small(second)), Small(second));
  for (int i = 0; i < 30; ++i) Small(gone);
  Large(first, 3 << 20);
  Large(gone, 1 << 20);
  void* own = nullptr;
  ASSERT_EQ(heap_->central.Remove(kClass, &own, 1), 1u);
  EXPECT_EQ(Do(Of(gone, "destroy")), 0);
  NextEpoch();
  const std::string bin = "bins." + std::to_string(kClass - 1) + ".";
  EXPECT_EQ(Read<size_t>(Stats(first, (bin + "curregs").c_str())), 10u);
  EXPECT_EQ(Read<uint64_t>(Stats(second, (bin + "nmalloc").c_str())), 30u);
  EXPECT_EQ(Read<uint64_t>(Stats(second, (bin + "ndalloc").c_str())), 5u);
  EXPECT_EQ(Read<uint64_t>(Stats(kDestroyedArenas, (bin + "nmalloc").c_str())), 30u);
  EXPECT_EQ(Read<uint64_t>(Stats(kDestroyedArenas, (bin + "ndalloc").c_str())), 30u);
  EXPECT_EQ(Read<size_t>(Stats(kDestroyedArenas, (bin + "curregs").c_str())), 0u);
  EXPECT_EQ(Read<size_t>(Stats(kDestroyedArenas, "pactive")), 0u);
  EXPECT_EQ(Read<uint64_t>(Stats(kDestroyedArenas, "large.nmalloc")), 1u);
  EXPECT_EQ(Read<uint64_t>(Stats(first, "large.nmalloc")), 1u);
  EXPECT_EQ(Read<size_t>(Stats(first, "large.allocated")), size_t{3} << 20);
  EXPECT_EQ(Read<size_t>(Stats(0, "large.allocated")), 0u);
  EXPECT_EQ(Read<size_t>(Stats(0, (bin + "curregs").c_str())), 1u);
  EXPECT_EQ(MallctlByName(control_, Stats(gone, "pactive").c_str(), nullptr, nullptr, nullptr, 0),
            ENOENT);

  std::vector<std::string> names = {
      "small.allocated", "small.nmalloc", "small.ndalloc", "large.allocated",
      "large.nmalloc",   "large.ndalloc", "pactive",       "pdirty",
      "mapped",          "retained",      "base",          "dirty_npurge",
      "dirty_nmadvise",  "dirty_purged",  "small.nfills",  "small.nflushes"};
  for (size_t j = 0; j < kSizeClasses; ++j) {
    for (const char* name : {"nmalloc", "ndalloc", "curregs", "nslabs", "curslabs"}) {
      names.push_back("bins." + std::to_string(j) + "." + name);
    }
    const std::string prefix = "bins." + std::to_string(j) + ".";
    for (size_t arena : {size_t{0}, size_t{first}, size_t{second}, size_t{kAllArenas}}) {
      EXPECT_EQ(Read<uint64_t>(Stats(arena, (prefix + "nmalloc").c_str())) -
                    Read<uint64_t>(Stats(arena, (prefix + "ndalloc").c_str())),
                Read<size_t>(Stats(arena, (prefix + "curregs").c_str())));
    }
  }
  for (const std::string& name : names) {
    uint64_t sum = 0;
    for (size_t arena : {size_t{0}, size_t{first}, size_t{second}, size_t{kDestroyedArenas}}) {
      sum += Read<uint64_t>(Stats(arena, name.c_str()));
    }
    EXPECT_EQ(Read<uint64_t>(Stats(kAllArenas, name.c_str())), sum) << name;
  }
  EXPECT_EQ(Read<size_t>("stats.allocated"),
            Read<size_t>(Stats(kAllArenas, "small.allocated")) +
                Read<size_t>(Stats(kAllArenas, "large.allocated")));
}

TEST_F(ArenaNamesTest, TheDestroyedOnesAreThereOnceOneIsGone) {
  const auto print = [this] {
    std::string all;
    const auto append = [](void* text, const char* piece) {
      *static_cast<std::string*>(text) += piece;
    };
    PrintStats(control_, append, &all, "J");
    return all;
  };
  const unsigned arena = Create();
  Small(arena);
  EXPECT_FALSE(Read<bool>("arena.4097.initialized"));
  EXPECT_THAT(print(), Not(HasSubstr("\"destroyed\"")));
  EXPECT_EQ(Do(Of(arena, "reset")), 0);
  EXPECT_FALSE(Read<bool>("arena.4097.initialized"));
  EXPECT_EQ(Do(Of(arena, "destroy")), 0);
  EXPECT_TRUE(Read<bool>("arena.4097.initialized"));
  EXPECT_THAT(print(), HasSubstr("\"destroyed\""));
}

TEST_F(ArenaNamesTest, PagesGivenBackInsideSpansAddUp) {
  // An odd number of parts of half a page in each arena.
  std::vector<unsigned> made;
  for (int i = 0; i < 3; ++i) {
    made.push_back(Create());
    constexpr size_t kCount = 3 * kReleaseUnit / kSizeClassTable[kClass].size;
    std::vector<void*> objects;
    for (size_t k = 0; k < kCount; ++k) objects.push_back(Small(made.back()));
    for (size_t k = 1; k < kCount; ++k)
      arenas->Free(heap_->page_map.SpanOf(objects[k]), objects[k]);
    EXPECT_EQ(Do(Of(made.back(), "purge")), 0);
  }
  NextEpoch();
  size_t sum = Read<size_t>(Stats(0, "pactive"));
  for (unsigned arena : made) sum += Read<size_t>(Stats(arena, "pactive"));
  EXPECT_EQ(Read<size_t>("spanmalloc.span_released") / kReleaseUnit % 2, 1u)
      << "or it says nothing";
  EXPECT_EQ(Read<size_t>(Stats(kAllArenas, "pactive")), sum);
  EXPECT_EQ(Read<size_t>("stats.active"), sum * kPageSize);
}

TEST_F(ArenaNamesTest, FreeRunsAndHugePagesAreThoseOfOneMoment) {
  const unsigned first = Create();
  const unsigned second = Create();
  void* blocks[2] = {Large(first, 1 << 20), Large(second, 1 << 20)};
  heap_->page_heap.FreeLarge(Large(second, 3 << 20));
  NextEpoch();
  const auto dirty = [this](size_t arena) {
    uint64_t sum = 0;
    for (size_t e = 0; e < kExtentClasses; ++e) {
      sum += Read<size_t>(Stats(arena, ("extents." + std::to_string(e) + ".dirty_bytes").c_str()));
    }
    return sum;
  };
  const auto large = [this](size_t arena) {
    return Read<size_t>("spanmalloc.arenas." + std::to_string(arena) + ".huge_pages.large");
  };
  const uint64_t of_second = dirty(second);
  const size_t large_of_second = large(second);
  EXPECT_EQ(of_second, Read<size_t>(Stats(second, "pdirty")) * kPageSize);
  for (void* block : blocks) heap_->page_heap.FreeLarge(block);
  Large(first, 5 << 20);
  const uint64_t of_first = dirty(first);
  EXPECT_EQ(of_first, Read<size_t>(Stats(first, "pdirty")) * kPageSize);
  EXPECT_EQ(dirty(second), of_second);
  EXPECT_EQ(dirty(kAllArenas), dirty(0) + of_first + of_second);
  EXPECT_EQ(large(second), large_of_second);
  EXPECT_EQ(large(kAllArenas), large(0) + large(first) + large_of_second);
}

TEST_F(ArenaNamesTest, ADumpsNumbersAreOfOneEpochWhateverOthersDo) {
  const unsigned arena = Create();
  for (int i = 0; i < 10; ++i) Small(arena);
  const unsigned gone = Create();
  Small(gone);
  EXPECT_EQ(Do(Of(gone, "destroy")), 0);
  NextEpoch();
  ControlState copy;
  std::vector<char> apart;
  control_.WithState([&](const ControlState& state) {
    copy = state;
    apart.resize(state.BytesApart());
    copy.MoveApart(apart.data());
    return 0;
  });
  for (int i = 0; i < 20; ++i) Small(arena);
  EXPECT_EQ(Do(Of(Create(), "destroy")), 0);
  EXPECT_EQ(Do(Of(arena, "reset")), 0);
  NextEpoch();
  const StatsReader reader(control_, &copy);
  const auto number = [&](const char* name, size_t index) {
    return reader.Number(name, {index, kClass - 1});
  };
  constexpr char kCount[] = "stats.arenas.<i>.bins.<j>.nmalloc";
  constexpr char kLock[] = "stats.arenas.<i>.bins.<j>.mutex.num_ops";
  EXPECT_EQ(number(kCount, arena), 10u);
  EXPECT_EQ(number("stats.arenas.<i>.bins.<j>.curregs", arena), 10u);
  EXPECT_EQ(number(kCount, kDestroyedArenas), 1u);
  EXPECT_EQ(number(kCount, kAllArenas), 11u);
  EXPECT_LT(number(kLock, arena), Read<uint64_t>(Stats(arena, "bins.6.mutex.num_ops")));
}

TEST_F(ArenaNamesTest, NumbersAreThoseOfTheEpoch) {
  NextEpoch();
  const unsigned arena = Create();
  Small(arena);
  EXPECT_EQ(Read<uint64_t>(Stats(arena, "small.nmalloc")), 0u);
  NextEpoch();
  Small(arena);
  EXPECT_EQ(Read<uint64_t>(Stats(arena, "small.nmalloc")), 1u);
  StatsSnapshot snapshot;
  const auto take = [&snapshot](const StatsSnapshot& now) { snapshot = now; };
  EXPECT_TRUE(control_.WithNumbersNow(take));
  EXPECT_EQ(snapshot.small_allocations, 2u);
  EXPECT_EQ(Read<uint64_t>(Stats(arena, "small.nmalloc")), 1u);
}

TEST_F(ArenaNamesTest, CountsNeverGoBack) {
  uint64_t before = 0;
  for (int round = 0; round < 5; ++round) {
    const unsigned arena = Create();
    Small(arena);
    Large(arena, 1 << 20);
    if (round % 2 == 0) NextEpoch();
    EXPECT_EQ(Do(Of(arena, "destroy")), 0);
    NextEpoch();
    const auto counted = Read<uint64_t>(Stats(kAllArenas, "small.nmalloc")) +
                         Read<uint64_t>(Stats(kAllArenas, "large.nmalloc"));
    EXPECT_EQ(counted, before + 2);
    before = counted;
  }
}

TEST_F(ArenaNamesTest, ThreadsAreBoundAndCounted) {
  const unsigned arena = Create();
  EXPECT_EQ(Read<unsigned>("thread.arena"), 0u);
  EXPECT_EQ(Write<unsigned>("thread.arena", arena + 1), EFAULT);
  EXPECT_EQ(Write<unsigned>("thread.arena", arena), 0);
  EXPECT_EQ(Read<unsigned>("thread.arena"), arena);
  NextEpoch();
  EXPECT_EQ(Read<unsigned>(Stats(arena, "nthreads")), 1u);
  EXPECT_EQ(Do(Of(arena, "destroy")), EFAULT) << "a thread is bound to it";
  EXPECT_EQ(Do(Of(arena, "reset")), 0);
  unsigned old = 77;
  const unsigned wanted = 0;
  size_t length = sizeof(old);
  EXPECT_EQ(MallctlByName(control_, "thread.arena", &old, &length, &wanted, sizeof(wanted)), 0);
  EXPECT_EQ(old, arena);
  EXPECT_EQ(Do(Of(arena, "destroy")), 0);
  EXPECT_EQ(Write<unsigned>("thread.arena", arena), EFAULT);
}

TEST_F(ArenaNamesTest, PointersAreLookedUp) {
  const unsigned arena = Create();
  unsigned found = 77;
  char* small = static_cast<char*>(Small(arena));
  char* large = static_cast<char*>(Large(arena, 1 << 20));
  void* own = nullptr;
  ASSERT_EQ(heap_->central.Remove(kClass, &own, 1), 1u);
  for (const char* pointer : {small, small + 1, large, large + 100}) {
    EXPECT_EQ(Lookup(pointer, &found), 0);
    EXPECT_EQ(found, arena);
  }
  EXPECT_EQ(Lookup(own, &found), 0);
  EXPECT_EQ(found, 0u);
  for (const void* pointer :
       {static_cast<const void*>(&found), static_cast<const void*>(nullptr)}) {
    EXPECT_EQ(Lookup(pointer, &found), EINVAL);
  }
  size_t length = sizeof(found);
  EXPECT_EQ(MallctlByName(control_, "arenas.lookup", &found, &length, nullptr, 0), EINVAL);
  const uint32_t narrow = 0;
  EXPECT_EQ(MallctlByName(control_, "arenas.lookup", &found, &length, &narrow, 4), EINVAL);
  EXPECT_EQ(Do(Of(arena, "reset")), 0);
  EXPECT_EQ(Lookup(large, &found), EINVAL);
}

TEST_F(ArenaNamesTest, NamesAreKept) {
  const unsigned arena = Create();
  char buffer[ArenaNotes::kNameBytes];
  const auto name_of = [&](unsigned index) -> std::string {
    char* into = buffer;
    size_t length = sizeof(into);
    memset(buffer, 'x', sizeof(buffer));
    EXPECT_EQ(MallctlByName(control_, Of(index, "name").c_str(), &into, &length, nullptr, 0), 0);
    EXPECT_EQ(into, buffer);
    return buffer;
  };
  EXPECT_EQ(name_of(0), "auto_0");
  EXPECT_EQ(name_of(arena), "manual_" + std::to_string(arena));
  EXPECT_EQ(Write<const char*>(Of(arena, "name"), "index"), 0);
  EXPECT_EQ(name_of(arena), "index");
  const std::string longer(100, 'n');
  EXPECT_EQ(Write<const char*>(Of(arena, "name"), longer.c_str()), 0);
  EXPECT_EQ(name_of(arena), longer.substr(0, 31));
  EXPECT_EQ(Write<const char*>(Of(arena, "name"), nullptr), EINVAL);
  EXPECT_EQ(Write<const char*>("arena.4096.name", "all"), EINVAL);
  uint32_t narrow = 0;
  size_t length = sizeof(narrow);
  EXPECT_EQ(MallctlByName(control_, Of(arena, "name").c_str(), &narrow, &length, nullptr, 0),
            EINVAL);
  EXPECT_EQ(Do(Of(arena, "destroy")), 0);
  EXPECT_EQ(Write<const char*>(Of(arena, "name"), "late"), EFAULT);
  EXPECT_EQ(Create(), arena);
  EXPECT_EQ(name_of(arena), "manual_" + std::to_string(arena));
}

TEST_F(ArenaNamesTest, NumbersWithoutMeaningAreRemembered) {
  const unsigned arena = Create();
  for (const char* name : {"oversize_threshold", "retain_grow_limit"}) {
    const auto old = Read<size_t>(Of(arena, name));
    EXPECT_NE(old, 0u);
    EXPECT_EQ(Write<size_t>(Of(arena, name), 12345), 0);
    EXPECT_EQ(Read<size_t>(Of(arena, name)), 12345u);
    EXPECT_EQ(Read<size_t>(Of(0, name)), old);
    EXPECT_EQ(Write<size_t>("arena.4096." + std::string(name), 1), EFAULT);
  }
}

TEST_F(ArenaNamesTest, TheSnapshotsTakeNoMemoryTwice) {
  for (int i = 0; i < 20; ++i) Create();
  NextEpoch();
  const size_t used = heap_->metadata.used_bytes();
  for (int i = 0; i < 5; ++i) NextEpoch();
  EXPECT_EQ(heap_->metadata.used_bytes(), used);
}

// Each arena's locks count in it; all of them in 4096.
TEST_F(ArenaNamesTest, LocksAreEachArenasOwn) {
  const unsigned first = Create();
  const unsigned second = Create();
  void* object;
  ASSERT_EQ(heap_->central.Remove(kClass, &object, 1), 1u);
  Small(first);
  NextEpoch();
  const std::string bin = "bins." + std::to_string(kClass - 1) + ".mutex.num_ops";
  const auto in_bin = [&](size_t arena) { return Read<uint64_t>(Stats(arena, bin.c_str())); };
  const auto in_heap = [&](size_t arena) {
    return Read<uint64_t>(Stats(arena, "mutexes.extents_dirty.num_ops"));
  };
  const uint64_t before = in_bin(first);
  const uint64_t heap_before = in_heap(first);
  EXPECT_GT(before, 0u);
  EXPECT_GT(heap_before, 0u);
  EXPECT_EQ(in_bin(second), 0u);
  EXPECT_EQ(in_heap(second), 0u);
  EXPECT_EQ(in_bin(4096), in_bin(0) + before);
  EXPECT_EQ(in_heap(4096), in_heap(0) + heap_before);
  EXPECT_EQ(in_bin(4097), 0u);
  for (int i = 0; i < 10; ++i) Small(first);
  NextEpoch();
  EXPECT_EQ(in_bin(first), before + 10 + 1) << "and to be counted";
  EXPECT_EQ(Do("stats.mutexes.reset"), 0);
  NextEpoch();
  EXPECT_EQ(in_bin(first), 1u);
  Small(second);
  EXPECT_EQ(Do(Of(first, "destroy")), 0);
  NextEpoch();
  EXPECT_GT(in_bin(4097), 0u);
  EXPECT_GT(in_heap(4097), 0u);
  EXPECT_EQ(in_bin(4096), in_bin(0) + in_bin(second) + in_bin(4097));
  EXPECT_EQ(in_heap(4096), in_heap(0) + in_heap(second) + in_heap(4097));
}

}  // namespace
}  // namespace spanmalloc

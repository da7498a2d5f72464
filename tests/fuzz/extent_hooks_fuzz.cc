// SPDX-License-Identifier: Apache-2.0
//
// An arena with extent hooks under random use: blocks taken, freed, grown and shrunk, purges, time
// that passes, resets, other hooks. The hooks give memory from one range and keep a model of it:
// which extents there are, and which have their memory. Some decline, some fail from time to time,
// some lie. Whatever they do, blocks are whole, hooks are told of extents as they are, and in the
// end all is back.
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "allocator/params/size_class_map.h"
#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"
#include "tests/fuzz/fuzz.h"

namespace spanmalloc {
namespace {

constexpr int kSteps = 400;
constexpr size_t kRangeHugePages = 48;
constexpr size_t kMaxBlock = 8 * kHugePageSize;

// A range, handed out and taken back by hooks.
struct Range : ExtentHooks {
  explicit Range(Choices& with)
      : ExtentHooks{&Alloc, &Dalloc, &Destroy, &Commit, &Decommit, &Lazy, &Forced, &Split, &Merge},
        choices(with) {
    constexpr size_t kBytes = (kRangeHugePages + 1) * kHugePageSize;
    memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    begin = RoundUp(reinterpret_cast<uintptr_t>(memory), kHugePageSize);
    // Each may be left out, or always decline.
    if (choices.OneIn(8)) dalloc = nullptr;
    if (choices.OneIn(8)) commit = nullptr;
    if (choices.OneIn(4)) decommit = nullptr;
    if (choices.OneIn(4)) purge_lazy = nullptr;
    if (choices.OneIn(4)) purge_forced = nullptr;
    if (choices.OneIn(4)) split = nullptr;
    if (choices.OneIn(4)) merge = nullptr;
    for (const char* name : {"dalloc", "decommit", "lazy", "forced", "split", "merge"}) {
      if (choices.OneIn(4)) declined.insert(name);
    }
  }
  ~Range() { munmap(memory, (kRangeHugePages + 1) * kHugePageSize); }

  static Range& Of(ExtentHooks* hooks) { return *static_cast<Range*>(hooks); }

  struct Extent {
    size_t size;
    bool committed;
  };

  bool Declines(const char* name) {
    ++calls;
    return declined.count(name) != 0 || (fails && choices.OneIn(4));
  }
  // The extent that a hook is told of.
  Extent* Told(void* addr, size_t size) {
    const auto found = extents.find(reinterpret_cast<uintptr_t>(addr));
    EXPECT_NE(found, extents.end()) << "no extent";
    if (found == extents.end()) return nullptr;
    EXPECT_EQ(found->second.size, size);
    return &found->second;
  }
  bool IsFree(uintptr_t start, size_t size) const {
    const auto next = extents.lower_bound(start + size);
    if (next == extents.begin()) return true;
    const auto last = std::prev(next);
    return last->first + last->second.size <= start;
  }
  void Take(void* addr, size_t size) {
    if (Told(addr, size) == nullptr) return;
    extents.erase(reinterpret_cast<uintptr_t>(addr));
    madvise(addr, size, MADV_DONTNEED);
  }

  static void* Alloc(ExtentHooks* hooks, void* new_addr, size_t size, size_t alignment, bool* zero,
                     bool* committed, unsigned) {
    Range& own = Of(hooks);
    EXPECT_EQ(new_addr, nullptr);
    EXPECT_EQ(size % kHugePageSize, 0u);
    if (own.Declines("alloc")) return nullptr;
    if (own.lies && own.choices.OneIn(4)) return own.Lie(size);
    const uintptr_t end = own.begin + kRangeHugePages * kHugePageSize;
    for (uintptr_t at = RoundUp(own.begin, alignment); at + size <= end; at += alignment) {
      if (!own.IsFree(at, size)) continue;
      *zero = !own.choices.OneIn(4);
      *committed = own.commit == nullptr || !own.choices.OneIn(4);
      own.extents[at] = {size, *committed};
      if (!*zero) memset(reinterpret_cast<void*>(at), 0x5a, size);
      return reinterpret_cast<void*>(at);
    }
    return nullptr;
  }
  // What is in use, or isn't aligned, which comes back.
  void* Lie(size_t size) {
    if (!extents.empty() && choices.OneIn(2)) {
      return reinterpret_cast<void*>(choices_extent());
    }
    const uintptr_t at = begin + 4096;
    if (!IsFree(at, size)) return nullptr;
    extents[at] = {size, true};
    return reinterpret_cast<void*>(at);
  }
  uintptr_t choices_extent() { return choices.Pick(extents)->first; }

  static bool Dalloc(ExtentHooks* hooks, void* addr, size_t size, bool committed, unsigned) {
    Range& own = Of(hooks);
    const Extent* extent = own.Told(addr, size);
    if (extent == nullptr || own.Declines("dalloc")) return true;
    EXPECT_EQ(committed, extent->committed);
    own.Take(addr, size);
    return false;
  }
  static void Destroy(ExtentHooks* hooks, void* addr, size_t size, bool committed, unsigned) {
    const Extent* extent = Of(hooks).Told(addr, size);
    if (extent != nullptr) EXPECT_EQ(committed, extent->committed);
    Of(hooks).Take(addr, size);
  }
  static bool Commit(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                     unsigned) {
    Extent* extent = Of(hooks).Told(addr, size);
    if (extent == nullptr || Of(hooks).Declines("commit")) return true;
    EXPECT_FALSE(extent->committed);
    EXPECT_EQ(offset, 0u);
    EXPECT_EQ(length, size);
    extent->committed = true;
    return false;
  }
  static bool Decommit(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                       unsigned) {
    Range& own = Of(hooks);
    Extent* extent = own.Told(addr, size);
    if (extent == nullptr || own.Declines("decommit")) return true;
    EXPECT_TRUE(extent->committed);
    EXPECT_EQ(offset, 0u);
    EXPECT_EQ(length, size);
    extent->committed = false;
    madvise(addr, size, MADV_DONTNEED);
    return false;
  }
  static bool Purge(const char* name, ExtentHooks* hooks, void* addr, size_t size, size_t offset,
                    size_t length) {
    Range& own = Of(hooks);
    const Extent* extent = own.Told(addr, size);
    if (extent == nullptr || own.Declines(name)) return true;
    EXPECT_TRUE(extent->committed);
    EXPECT_LE(offset + length, size);
    char* start = static_cast<char*>(addr) + offset;
    if (strcmp(name, "forced") == 0) {
      madvise(start, length, MADV_DONTNEED);
    } else {
      memset(start, 0x33, length);
    }
    return false;
  }
  static bool Lazy(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                   unsigned) {
    return Purge("lazy", hooks, addr, size, offset, length);
  }
  static bool Forced(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                     unsigned) {
    return Purge("forced", hooks, addr, size, offset, length);
  }
  static bool Split(ExtentHooks* hooks, void* addr, size_t size, size_t size_a, size_t size_b,
                    bool committed, unsigned) {
    Range& own = Of(hooks);
    Extent* extent = own.Told(addr, size);
    if (extent == nullptr || own.Declines("split")) return true;
    EXPECT_EQ(size_a + size_b, size);
    EXPECT_EQ(committed, extent->committed);
    extent->size = size_a;
    own.extents[reinterpret_cast<uintptr_t>(addr) + size_a] = {size_b, committed};
    return false;
  }
  static bool Merge(ExtentHooks* hooks, void* addr_a, size_t size_a, void* addr_b, size_t size_b,
                    bool committed, unsigned) {
    Range& own = Of(hooks);
    Extent* a = own.Told(addr_a, size_a);
    const Extent* b = own.Told(addr_b, size_b);
    if (a == nullptr || b == nullptr || own.Declines("merge")) return true;
    EXPECT_EQ(static_cast<char*>(addr_a) + size_a, addr_b);
    EXPECT_EQ(committed, a->committed);
    EXPECT_EQ(committed, b->committed);
    a->size += size_b;
    own.extents.erase(reinterpret_cast<uintptr_t>(addr_b));
    return false;
  }

  Choices& choices;
  void* memory;
  uintptr_t begin;
  std::map<uintptr_t, Extent> extents;
  std::set<std::string> declined;
  bool fails = false;
  bool lies = false;
  size_t calls = 0;
};

class ExtentHooksFuzz {
 public:
  explicit ExtentHooksFuzz(Choices& choices) : choices_(choices), range_(choices) {
    EXPECT_TRUE(arenas_.Create({1000, 0, &range_}, &arena_));
  }

  void Run() {
    for (int step = 0; step < kSteps && !testing::Test::HasFailure(); ++step) {
      range_.fails = choices_.OneIn(5);
      range_.lies = choices_.OneIn(20);
      Step();
      EXPECT_TRUE(FaultLog::Take().empty());
      if (step % 16 == 0) Check();
    }
    range_.fails = range_.lies = false;
    while (!live_.empty()) Free(live_.begin());
    Check();
    EXPECT_EQ(on_.node_heaps.ArenaStats(arena_).span_pages, SpansKept());
    EXPECT_TRUE(arenas_.Destroy(arena_));
    EXPECT_TRUE(range_.extents.empty());
    Check();
  }

 private:
  struct Block {
    size_t size;
    uint64_t mark;
  };
  using Live = std::map<uint64_t*, Block>;

  void Step() {
    const size_t choice = choices_.Below(100);
    if (choice < 45) {
      Take();
    } else if (choice < 75) {
      if (!live_.empty()) Free(choices_.Pick(live_));
    } else if (choice < 85) {
      Resize();
    } else if (choice < 90) {
      arenas_.Purge(arena_);
    } else if (choice < 97) {
      on_.clock.Advance(choices_.Magnitude(2000));
      choices_.OneIn(2) ? arenas_.ServeHooked(arena_, on_.clock.NowMs())
                        : arenas_.Decay(arena_, on_.clock.NowMs());
    } else if (choice < 98) {
      EXPECT_TRUE(arenas_.Reset(arena_));
      live_.clear();
    } else {
      arenas_.SetDirtyDecay(arena_, choices_.OneIn(2) ? -1 : choices_.OneIn(2) ? 0 : 1000);
    }
  }

  // As the slow path does.
  void Take() {
    const bool large = choices_.OneIn(3);
    const size_t size = large               ? kMaxClassSize + choices_.Magnitude(kMaxBlock)
                        : choices_.OneIn(2) ? 100
                                            : choices_.Magnitude(kMaxClassSize);
    const size_t c = large ? kNoSizeClass : SizeClassOf(size);
    const size_t alignment = large && choices_.OneIn(4) ? kPageSize << choices_.Below(10) : 1;
    const size_t pages = large ? PagesFor(size) : ShapeOf(c).pages;
    bool zeroed = false;
    void* block = arenas_.Allocate(arena_, c, size, alignment, &zeroed);
    for (int i = 0; block == nullptr && i < 3; ++i) {
      if (!arenas_.Provide(arena_, pages, alignment)) break;
      block = arenas_.Allocate(arena_, c, size, alignment, &zeroed);
    }
    if (block == nullptr) return;
    auto* words = static_cast<uint64_t*>(block);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % alignment, 0u);
    for (size_t w = 0; zeroed && w < size / sizeof(uint64_t); w += 37) ASSERT_EQ(words[w], 0u);
    const auto next = live_.lower_bound(words);
    ASSERT_TRUE(next == live_.end() || words + (size + 7) / 8 <= next->first) << "overlaps";
    Mark(live_.emplace(words, Block{size, ++mark_}).first);
  }
  void Mark(Live::iterator it) {
    for (size_t w = 0; w < it->second.size / sizeof(uint64_t); w += 37) {
      it->first[w] = it->second.mark;
    }
  }
  void ExpectMarked(Live::iterator it, size_t size) {
    for (size_t w = 0; w < size / sizeof(uint64_t); w += 37) {
      ASSERT_EQ(it->first[w], it->second.mark) << "word " << w << " of " << it->second.size;
    }
  }
  void Free(Live::iterator it) {
    ExpectMarked(it, it->second.size);
    Span* span = on_.page_map.SpanOf(it->first);
    ASSERT_NE(span, nullptr);
    if (span->size_class != kNoSizeClass) {
      arenas_.Free(span, it->first);
    } else {
      EXPECT_EQ(on_.node_heaps.FreeLarge(it->first), LargeFault::kNone);
    }
    live_.erase(it);
  }
  void Resize() {
    if (live_.empty()) return;
    const auto it = choices_.Pick(live_);
    Span* span = on_.page_map.SpanOf(it->first);
    ASSERT_NE(span, nullptr);
    if (span->size_class != kNoSizeClass) return;
    const size_t old_size = it->second.size;
    const size_t size = kMaxClassSize + choices_.Magnitude(kMaxBlock);
    const size_t pages = PagesFor(size);
    if (pages > span->pages) {
      if (!on_.node_heaps.GrowLarge(span, pages, nullptr) &&
          !(on_.node_heaps.ProvideBehind(span, pages) &&
            on_.node_heaps.GrowLarge(span, pages, nullptr))) {
        return;
      }
    } else if (pages < span->pages && span->huge_pages != 0) {
      on_.node_heaps.ShrinkLarge(span, pages);
    } else {
      return;
    }
    ExpectMarked(it, old_size < size ? old_size : size);
    it->second.size = size;
    Mark(it);
  }

  // What classes keep for their next objects.
  size_t SpansKept() {
    size_t pages = 0;
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      CentralFreeListStats stats = {};
      arenas_.AddStats(arena_, static_cast<SizeClass>(c), &stats);
      pages += stats.spans * ShapeOf(c).pages;
    }
    return pages;
  }
  void Check() {
    ASSERT_TRUE(arenas_.CheckInvariants());
    ASSERT_TRUE(on_.node_heaps.CheckInvariants());
    for (auto it = live_.begin(); it != live_.end(); ++it) ExpectMarked(it, it->second.size);
  }

  Choices& choices_;
  CentralOnFakes on_;
  ArenaSet& arenas_ = on_.arenas;
  Range range_;
  unsigned arena_ = 0;
  Live live_;
  uint64_t mark_ = 0;
};

TEST(ExtentHooksFuzz, BlocksAreWholeAndExtentsAreWhatHooksAreToldOf) {
  ForEachSeed(40, [](Choices& choices) {
    testing::internal::CaptureStderr();  // lies are told
    ExtentHooksFuzz(choices).Run();
    const std::string told = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(told.empty() || told.find("alloc returned") != std::string::npos) << told;
  });
}

}  // namespace
}  // namespace spanmalloc

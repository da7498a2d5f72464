// SPDX-License-Identifier: Apache-2.0
//
// Explicit caches and explicit arenas, made, used, flushed, reset and destroyed at random, against
// a map of the objects that are out.
#include <cstdint>
#include <map>
#include <vector>

#include "allocator/cache/explicit_caches.h"
#include "gtest/gtest.h"
#include "tests/cache/caches_on_fakes.h"
#include "tests/fuzz/fuzz.h"

namespace spanmalloc {
namespace {

constexpr int kSteps = 6000;
constexpr size_t kMaxCaches = 4;
constexpr size_t kMaxArenas = 3;

struct Live {
  unsigned arena;
  size_t size_class;
  uint64_t mark;
};

class ExplicitCacheFuzz {
 public:
  explicit ExplicitCacheFuzz(Choices& choices)
      : choices_(choices),
        budget_(choices.OneIn(3) ? static_cast<int64_t>(choices.Below(100000))
                                 : CachesOnFakes::kBudget),
        on_(budget_) {}

  void Run() {
    for (int step = 0; step < kSteps && !testing::Test::HasFailure(); ++step) {
      Step();
      if (step % 64 == 0) Check();
    }
    on_.memory.RefuseNothing();
    while (!indices_.empty()) DestroyCache();
    while (!live_.empty()) Forget(live_.begin());
    while (arenas_.size() > 1) DestroyArena();
    EXPECT_EQ(on_.budget.left(), budget_);
    on_.central.Drain();
    EXPECT_EQ(on_.page_heap.Stats().span_pages, 0u);
    EXPECT_TRUE(FaultLog::Take().empty());
  }

 private:
  using Iterator = std::map<uint64_t*, Live>::iterator;

  ExplicitCache& AnyCache() { return *caches_.Find(*choices_.Pick(indices_)); }

  void Step() {
    on_.memory.RefuseNothing();
    if (choices_.OneIn(50)) {
      on_.memory.RefuseAll(choices_.OneIn(2) ? FakeVirtualMemory::kMap : FakeVirtualMemory::kMapAt);
    }
    const size_t choice = choices_.Below(1000);
    if (choice < 5 || indices_.empty()) {
      CreateCache();
    } else if (choice < 10) {
      CreateArena();
    } else if (choice < 500) {
      Allocate(choices_.Magnitude(60));
    } else if (choice < 980) {
      for (size_t n = choices_.Magnitude(60); n > 0 && !live_.empty(); --n) Free();
    } else if (choice < 988) {
      EXPECT_TRUE(caches_.Flush(*choices_.Pick(indices_)));
    } else if (choice < 992) {
      DestroyCache();
    } else if (arenas_.size() > 1) {
      choice < 996 ? ResetArena() : DestroyArena();
    }
  }

  void CreateCache() {
    unsigned index = 0;
    if (indices_.size() < kMaxCaches && caches_.Create(&index)) indices_.push_back(index);
  }
  void DestroyCache() {
    const auto it = choices_.Pick(indices_);
    EXPECT_TRUE(caches_.Destroy(*it));
    EXPECT_EQ(caches_.Find(*it), nullptr);
    indices_.erase(it);
  }
  void CreateArena() {
    unsigned index = 0;
    if (arenas_.size() <= kMaxArenas &&
        on_.arenas.Create({.dirty_decay_ms = 1000, .muzzy_decay_ms = 0}, &index))
      arenas_.push_back(index);
  }
  void EmptyArena(unsigned arena) {
    caches_.FlushArena(arena);
    for (Iterator it = live_.begin(); it != live_.end();) {
      it = it->second.arena == arena ? live_.erase(it) : std::next(it);
    }
  }
  void ResetArena() {
    const unsigned arena = arenas_.back();
    EmptyArena(arena);
    EXPECT_TRUE(on_.arenas.Reset(arena));
  }
  void DestroyArena() {
    EmptyArena(arenas_.back());
    EXPECT_TRUE(on_.arenas.Destroy(arenas_.back()));
    arenas_.pop_back();
  }

  // Several of one class, mostly through one cache.
  void Allocate(size_t count) {
    const size_t c = 1 + choices_.Below(choices_.OneIn(20) ? kSizeClasses : 30);
    const unsigned arena = *choices_.Pick(arenas_);
    ExplicitCache* cache = &AnyCache();
    const size_t words = kSizeClassTable[c].size / sizeof(uint64_t);
    for (; count > 0; --count) {
      if (choices_.OneIn(40)) cache = &AnyCache();
      bool zeroed = false;
      auto* object = static_cast<uint64_t*>(cache->Pop(arena, c));
      if (object == nullptr) object = static_cast<uint64_t*>(cache->Refill(arena, c, &zeroed));
      if (object == nullptr) {
        ASSERT_NE(on_.memory.refused(), 0u);
        return;
      }
      const Span* span = on_.page_map.SpanOf(object);
      ASSERT_EQ(span->size_class, c);
      ASSERT_EQ(ArenaSet::Owns(span) ? span->shard.load() - unsigned{PerCpuCentral::kMaxShards} : 0,
                arena);
      for (size_t w = 0; zeroed && w < words; ++w) ASSERT_EQ(object[w], 0u);
      ASSERT_TRUE(live_.emplace(object, Live{arena, c, ++mark_}).second) << "handed out twice";
      object[0] = object[words - 1] = mark_;
    }
  }

  void Verify(Iterator it) {
    const auto [arena, c, mark] = it->second;
    EXPECT_EQ(it->first[0], mark);
    EXPECT_EQ(it->first[kSizeClassTable[c].size / sizeof(uint64_t) - 1], mark);
  }
  void Free() {
    const Iterator it = choices_.Pick(live_);
    Verify(it);
    const auto [arena, c, mark] = it->second;
    ExplicitCache& cache = AnyCache();
    if (!cache.Push(arena, c, it->first)) cache.Overflow(arena, c, it->first);
    live_.erase(it);
  }
  // Past all caches.
  void Forget(Iterator it) {
    Verify(it);
    void* object = it->first;
    const auto c = static_cast<SizeClass>(it->second.size_class);
    if (it->second.arena == 0) {
      on_.central.Insert(c, &object, 1);
    } else {
      on_.arenas.FreeBatch(it->second.arena, c, &object, 1);
    }
    live_.erase(it);
  }

  void Check() {
    ASSERT_TRUE(caches_.CheckInvariants());
    ASSERT_TRUE(on_.central.CheckInvariants());
    ASSERT_TRUE(on_.page_heap.CheckInvariants());
    ASSERT_LE(on_.budget.left(), budget_);
    size_t live[kSizeClassEnd] = {};
    for (const auto& [object, entry] : live_) ++live[entry.size_class];
    size_t cached[kSizeClassEnd] = {};
    ASSERT_EQ(caches_.AddCounts(cached), indices_.size());
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      CentralFreeListStats stats = on_.central.Stats(static_cast<SizeClass>(c));
      on_.arenas.AddStats(static_cast<SizeClass>(c), &stats);
      ASSERT_EQ(stats.taken - stats.returned - cached[c], live[c]);
    }
  }

  Choices& choices_;
  const int64_t budget_;
  CachesOnFakes on_;
  ExplicitCaches caches_{ExplicitCacheContext{on_.central, on_.arenas, on_.metadata, on_.budget}};
  std::vector<unsigned> indices_;
  std::vector<unsigned> arenas_ = {0};
  std::map<uint64_t*, Live> live_;
  uint64_t mark_ = 0;
};

TEST(ExplicitCacheFuzz, RandomUseAgreesWithTheModel) {
  ForEachSeed(6, [](Choices& choices) { ExplicitCacheFuzz(choices).Run(); });
}

}  // namespace
}  // namespace spanmalloc

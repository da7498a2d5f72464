// SPDX-License-Identifier: Apache-2.0
#include "allocator/central/per_cpu_central.h"

#include "absl/numeric/bits.h"
#include "allocator/central/arena_set.h"
#include "allocator/os/current_cpu.h"
#include "allocator/params/span_shapes.h"
#include "allocator/util/sharing_counts.h"

namespace spanmalloc {

CentralFreeList* PerCpuCentral::HomeList(SizeClass size_class) {
  const size_t cpu = os::CurrentCpu();
  if (ABSL_PREDICT_FALSE(heap_.page_heap.node_bits() != 0)) {
    return HomeListOn(heap_.page_heap.CurrentNode(), cpu, size_class);
  }
  return HomeListOfOne(cpu, size_class);
}

CentralFreeList* PerCpuCentral::HomeListOn(uint32_t node, size_t cpu, SizeClass size_class) {
  const uint32_t node_bits = heap_.page_heap.node_bits();
  const size_t number = cpu % shard_limit() % (kMaxShards >> node_bits);
  return ListOf(number << node_bits | node, size_class);
}

CentralFreeList* PerCpuCentral::MakeList(size_t index, SizeClass size_class) {
  os::LockHolder hold(table_lock_);
  CentralFreeList* list = ListAt(index, size_class);
  if (list != nullptr) return list;
  Shard* shard = MakeShard(index);
  if (shard != nullptr) list = heap_.metadata.New<CentralFreeList>();
  if (list == nullptr) {
    for (size_t i = 0; i < shards() && list == nullptr; ++i) list = ListAt(i, size_class);
    return list;
  }
  list->Init(size_class, static_cast<uint16_t>(index));
  // Release: pairs with the acquire in ListAt.
  shard->lists[size_class].store(list, std::memory_order_release);
  return list;
}

PerCpuCentral::Shard* PerCpuCentral::MakeShard(size_t index) {
  Shard* shard = shards_[index].load(std::memory_order_relaxed);
  if (shard != nullptr) return shard;
  shard = heap_.metadata.NewZero<Shard>();
  if (shard == nullptr) return nullptr;
  // Release: pairs with the acquire in ListAt.
  shards_[index].store(shard, std::memory_order_release);
  if (index >= shards()) shard_end_.store(index + 1, std::memory_order_relaxed);
  return shard;
}

// Notes that a list which has been added to may have some to spare.
void PerCpuCentral::NoteSurplus(const CentralFreeList& list) {
  const SizeClass c = list.size_class();
  const uint64_t bit = uint64_t{1} << (list.shard() % kSurplusGroups);
  if (list.held_hint() <= kSizeClassTable[c].batch ||
      (surplus_[c].load(std::memory_order_relaxed) & bit) != 0) {
    return;
  }
  CountEvent(CountedEvent::kSurplusWrite);
  surplus_[c].fetch_or(bit, std::memory_order_relaxed);
}

// As RemoveFromOthers, from the shards whose numbers are `group` modulo kSurplusGroups.
size_t PerCpuCentral::RemoveFromGroup(SizeClass size_class, size_t group,
                                      const CentralFreeList& home, void** out, size_t want) {
  const uint32_t spare = kSizeClassTable[size_class].batch;
  for (size_t s = group; s < shards(); s += kSurplusGroups) {
    CentralFreeList* list = ListAt(s, size_class);
    if (list == nullptr || list == &home) continue;
    CountEvent(CountedEvent::kHintRead);
    if (list->held_hint() <= spare) continue;
    const size_t taken = list->RemoveAway(heap_, out, want, spare);
    if (taken != 0) return taken;
  }
  return 0;
}

// The bits in the surplus map of the shards of a node.
uint64_t PerCpuCentral::GroupsOf(uint32_t node) const {
  static_assert(kSurplusGroups % os::NumaNodes::kMaxNodes == 0);
  const uint32_t node_bits = heap_.page_heap.node_bits();
  if (ABSL_PREDICT_TRUE(node_bits == 0)) return ~uint64_t{0};
  return ~uint64_t{0} / ((uint64_t{1} << (1u << node_bits)) - 1) << node;
}

// From the shards in `groups`, which are those of a bit in the surplus map each.
size_t PerCpuCentral::RemoveFromOthers(const CentralFreeList& home, uint64_t groups, void** out,
                                       size_t want) {
  const SizeClass c = home.size_class();
  // From the next CPU on, so that not all look at the same one first.
  const size_t own = home.shard() % kSurplusGroups;
  // While there are few shards, the own group is `home` alone.
  if (shards() <= kSurplusGroups) groups &= ~(uint64_t{1} << own);
  const int rotated = static_cast<int>((own + 1) % kSurplusGroups);
  uint64_t left = absl::rotr(surplus_[c].load(std::memory_order_relaxed) & groups, rotated);
  for (; left != 0; left &= left - 1) {
    const size_t group = (static_cast<size_t>(absl::countr_zero(left)) + own + 1) % kSurplusGroups;
    const size_t taken = RemoveFromGroup(c, group, home, out, want);
    if (taken != 0) return taken;
    if (group == own) continue;
    CountEvent(CountedEvent::kSurplusWrite);
    surplus_[c].fetch_and(~(uint64_t{1} << group), std::memory_order_relaxed);
  }
  return 0;
}

// Notes after a tick whether a list has idle objects to release, or even to lend.
void PerCpuCentral::NoteIdle(const CentralFreeList& list) {
  if (list.may_release()) idle_.Set(list.size_class());
  if (list.lends()) lenders_.Set(list.size_class());
}

// An object that a list of `lender` and of `node` has idle.
void* PerCpuCentral::BorrowFrom(SizeClass lender, uint32_t node) {
  for (size_t s = 0; s < shards(); ++s) {
    CentralFreeList* list = ListAt(s, lender);
    if (list == nullptr || !list->lends() ||
        CentralFreeList::NodeOfShard(heap_.page_heap, s) != node) {
      continue;
    }
    if (void* object = list->Lend()) return object;
  }
  return nullptr;
}

// An object of a larger class that has some idle, if the heap would else be larger than ever.
bool PerCpuCentral::Borrow(const CentralFreeList& home, void** out) {
  const SizeClass c = home.size_class();
  const uint32_t node = CentralFreeList::NodeOfShard(heap_.page_heap, home.shard());
  for (size_t lender = c + size_t{1}; lender < kSizeClassEnd && HoldsOne(lender, c); ++lender) {
    if (!lenders_.Has(lender) || !MayLend(lender, c)) continue;
    if (!heap_.page_heap.WouldGrow(ShapeOf(c).pages, node)) return false;
    if ((*out = BorrowFrom(static_cast<SizeClass>(lender), node)) != nullptr) return true;
    lenders_.Clear(lender);
  }
  return false;
}

size_t PerCpuCentral::Remove(SizeClass size_class, void** out, size_t want, bool* zeroed,
                             AtPeak at_peak) {
  bool fresh = false;
  if (zeroed == nullptr) zeroed = &fresh;
  *zeroed = false;
  CentralFreeList* home = HomeList(size_class);
  if (home == nullptr) return 0;
  if (home->held_hint() != 0) {
    const size_t taken = home->Remove(heap_, out, want, 0);
    if (taken != 0) return taken;
  }
  const uint64_t groups = GroupsOf(CentralFreeList::NodeOfShard(heap_.page_heap, home->shard()));
  size_t taken = RemoveFromOthers(*home, groups, out, want);
  if (taken != 0) return taken;
  // The classes beyond have whole spans, which are never idle in a list.
  const bool may_borrow = kSizeClassTable[size_class].size < kMaxSharedSpanSize;
  if (ABSL_PREDICT_FALSE(lenders_.Any()) && may_borrow && Borrow(*home, out)) return 1;
  taken = home->RemoveOrCarve(heap_, out, want, zeroed, at_peak);
  NoteSurplus(*home);
  return taken != 0 ? taken : RemoveFromOthers(*home, ~groups, out, want);
}

// Puts objects into a list's array, and what finds no room there into their spans.
inline void PerCpuCentral::InsertAt(CentralFreeList* list, SizeClass size_class,
                                    void* const* objects, size_t count) {
  size_t fitted = 0;
  if (list != nullptr) {
    fitted = list->Insert(heap_, objects, count);
    NoteSurplus(*list);
  }
  for (size_t done = fitted; done < count;) {
    const size_t chunk = count - done < kMaxBatch ? count - done : kMaxBatch;
    PutInSpans(size_class, objects + done, chunk);
    done += chunk;
  }
}

void PerCpuCentral::Insert(SizeClass size_class, void* const* objects, size_t count) {
  if (ABSL_PREDICT_FALSE(heap_.page_heap.node_bits() != 0)) {
    return InsertByNode(size_class, objects, count);
  }
  InsertAt(HomeListOfOne(os::CurrentCpu(), size_class), size_class, objects, count);
}

// Sorts a batch by the nodes that its objects lie on: what a thread of another node has freed goes
// to a shard of theirs.
void PerCpuCentral::InsertByNode(SizeClass size_class, void* const* objects, size_t count) {
  const auto node_of = [this, objects](size_t i) {
    return heap_.page_heap.NodeOf(reinterpret_cast<uintptr_t>(objects[i]));
  };
  const size_t cpu = os::CurrentCpu();
  for (size_t begin = 0; begin < count; begin += kMaxBatch) {
    const size_t end = count - begin < kMaxBatch ? count : begin + kMaxBatch;
    uint64_t nodes = 0;
    for (size_t i = begin; i < end; ++i) nodes |= uint64_t{1} << node_of(i);
    for (; nodes != 0; nodes &= nodes - 1) {
      const auto node = static_cast<uint32_t>(absl::countr_zero(nodes));
      void* of_node[kMaxBatch];
      size_t found = 0;
      for (size_t i = begin; i < end; ++i) {
        if (node_of(i) == node) of_node[found++] = objects[i];
      }
      InsertAt(HomeListOn(node, cpu, size_class), size_class, of_node, found);
    }
  }
}

void PerCpuCentral::InsertInSpans(SizeClass size_class, void* const* objects, size_t count) {
  CentralFreeList* home = HomeList(size_class);
  if (home != nullptr) home->NoteReturned(count);
  PutInSpans(size_class, objects, count);
}

// How many of objects[0, count) share a page with the first.
inline size_t CountOnPage(void* const* objects, size_t count) {
  const auto first = reinterpret_cast<uintptr_t>(objects[0]);
  const auto differs = [objects, first](size_t i) {
    return reinterpret_cast<uintptr_t>(objects[i]) ^ first;
  };
  size_t i = 1;
  // Neighbours are mostly many.
  while (i < count && differs(i) < kPageSize) {
    ++i;
    while (i + 8 <= count) {
      uintptr_t all = 0;
      for (size_t k = 0; k < 8; ++k) all |= differs(i + k);
      if (all >= kPageSize) break;
      i += 8;
    }
  }
  return i;
}

// Cuts a batch into runs that share a page, and finds the spans that may contain them. Objects
// freed in no order lie anywhere in memory: all descriptors are asked for before the first is read.
// Returns the number of runs.
inline size_t PerCpuCentral::FindRuns(void* const* objects, size_t count, ObjectRun* runs) const {
  size_t found = 0;
  for (uint32_t i = 0; i < count; ++found) {
    const uint32_t begin = i;
    i += static_cast<uint32_t>(CountOnPage(objects + begin, count - begin));
    Span* span = heap_.page_map.CandidateFor(objects[begin]);
    runs[found] = {span, begin, i};
    if (span == nullptr) continue;
    __builtin_prefetch(span, /*for writing*/ 1);
  }
  return found;
}

// Deals with a pointer that is no object of the free lists of `size_class`. `span`: what contains
// it, if anything does.
void PerCpuCentral::PutElsewhere(SizeClass size_class, void* object, Span* span) {
  if (span != nullptr && span->size_class == size_class) {
    // A sized free, which looks nothing up, may bring an object of an explicit arena.
    return heap_.arenas->Free(span, object);
  }
  if (span != nullptr && span->MayHaveLentAs(size_class)) {
    // Or one that was borrowed. Until now it counted as returned to the class that was named.
    if (CentralFreeList* list = HomeList(size_class)) list->NoteMisnamed();
    return InsertInSpans(span->size_class, &object, 1);
  }
  heap_.report(
      {.fault = span != nullptr ? Fault::kSizeMismatch : heap_.page_heap.MissingFault(object),
       .pointer = object,
       .claimed_size = kSizeClassTable[size_class].size,
       .block_size = span == nullptr ? 0 : span->object_size(),
       .block_start = nullptr});
}

// The same of several; `span`: nullptr if theirs was given back meanwhile, and serves others.
ABSL_ATTRIBUTE_NOINLINE void PerCpuCentral::PutRunElsewhere(SizeClass size_class,
                                                            void* const* objects,
                                                            const ObjectRun& run, Span* span) {
  for (size_t k = run.begin; k < run.end; ++k) PutElsewhere(size_class, objects[k], span);
}

// Whether a span's objects belong in these lists, as those of `size_class`.
bool PerCpuCentral::IsOfLists(const Span* span, SizeClass size_class) const {
  return span->size_class == size_class && !(ArenaSet::Owns(span) && heap_.arenas != nullptr);
}

// The list that a span belongs to; nullptr if it was given back meanwhile, and serves others.
CentralFreeList* PerCpuCentral::ListOf(const Span* span, SizeClass size_class) const {
  const uint16_t shard = span->shard.load(std::memory_order_relaxed);
  return shard < kMaxShards ? ListAt(shard, size_class) : nullptr;
}

// As PutInSpans for objects that have a span each.
void PerCpuCentral::PutWholeSpans(SizeClass size_class, void* const* objects, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    Span* span = heap_.page_map.SpanOf(objects[i]);
    if (ABSL_PREDICT_FALSE(span == nullptr || !IsOfLists(span, size_class))) {
      PutElsewhere(size_class, objects[i], span);
      continue;
    }
    CentralFreeList* list = ListOf(span, size_class);
    if (ABSL_PREDICT_FALSE(list == nullptr)) {
      PutElsewhere(size_class, objects[i], nullptr);
    } else {
      list->PutWholeSpan(heap_, objects[i], span);
    }
  }
}

// Whether objects[1] follows objects[0] at a distance of `size`, upwards or downwards.
inline bool AreNeighbours(void* const* objects, uint64_t size) {
  const auto first = reinterpret_cast<uintptr_t>(objects[0]);
  const auto second = reinterpret_cast<uintptr_t>(objects[1]);
  return second - first == size || first - second == size;
}

void PerCpuCentral::PutInSpans(SizeClass size_class, void* const* objects, size_t count) {
  if (IsWholeSpan(size_class)) return PutWholeSpans(size_class, objects, count);
  ObjectRun runs[kMaxBatch];
  const size_t found = FindRuns(objects, count, runs);
  const bool bitmap_apart = Span::LongBitmapBytes(size_class) != 0;
  const uint64_t size = kSizeClassTable[size_class].size;
  size_t kept = 0;
  for (size_t i = 0; i < found; ++i) {
    const ObjectRun run = runs[i];
    const bool contained =
        run.span != nullptr && run.span->Contains(reinterpret_cast<uintptr_t>(objects[run.begin]));
    if (ABSL_PREDICT_FALSE(!contained || !IsOfLists(run.span, size_class))) {
      PutRunElsewhere(size_class, objects, run, contained ? run.span : nullptr);
    } else if (kept != 0 && runs[kept - 1].span == run.span && runs[kept - 1].end == run.begin &&
               AreNeighbours(objects + run.begin - 1, size)) {
      runs[kept - 1].end = run.end;
    } else {
      if (bitmap_apart) __builtin_prefetch(run.span->long_bitmap, /*for writing*/ 1);
      runs[kept++] = run;
    }
  }
  for (size_t i = 0; i < kept; ++i) {
    if (runs[i].span == nullptr) continue;
    CentralFreeList* list = ListOf(runs[i].span, size_class);
    if (ABSL_PREDICT_FALSE(list == nullptr)) {
      PutRunElsewhere(size_class, objects, runs[i], nullptr);
      continue;
    }
    list->PutOwned(heap_, objects, runs + i, kept - i);
    NoteSurplus(*list);
  }
}

void PerCpuCentral::DrainList(CentralFreeList& list, size_t count) {
  void* objects[kMaxBatch];
  while (count != 0) {
    const size_t got = list.DrainArray(objects, count < kMaxBatch ? count : kMaxBatch);
    if (got == 0) return;
    PutInSpans(list.size_class(), objects, got);
    count -= got;
  }
}

void PerCpuCentral::Drain() {
  ForEachList([this](CentralFreeList& list) { DrainList(list, ~size_t{0}); });
  ForEachList([this](CentralFreeList& list) { list.FreeEmptySpans(heap_); });
  if (heap_.arenas != nullptr) heap_.arenas->FreeEmptySpans();
}

void PerCpuCentral::ReturnWholeSpans() {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    if (!IsWholeSpan(c)) continue;
    ForEachListOf(static_cast<SizeClass>(c), [this](CentralFreeList& list) {
      if (list.held_hint() != 0) DrainList(list, ~size_t{0});
    });
  }
}

void PerCpuCentral::ReturnIdle() {
  ForEachList([this](CentralFreeList& list) {
    if (list.held_hint() == 0) return;
    DrainList(list, list.TakeLowWater());
    NoteIdle(list);
  });
}

void PerCpuCentral::TickSpans() {
  ForEachList([this](CentralFreeList& list) {
    if (list.held_hint() == 0) return;
    list.TickSpans();
    NoteIdle(list);
  });
  if (heap_.arenas != nullptr) heap_.arenas->TickSpans();
}

// A class whose search wasn't brought to its end keeps its hint; the others wait for the next tick.
void PerCpuCentral::ReleaseIdleSinceTick(size_t bytes) {
  SpanSearch search = {.bytes = bytes, .spans = kMaxSearched};
  for (size_t c = kSizeClassEnd - 1; c != 0 && search.spans != 0 && search.bytes != 0; --c) {
    if (ABSL_PREDICT_TRUE(!idle_.Has(c))) continue;
    idle_.Clear(c);
    ForEachListOf(static_cast<SizeClass>(c), [this, &search](CentralFreeList& list) {
      list.ReleaseIdle(heap_, IdleSince::kTick, &search);
    });
    if (search.spans == 0 || search.bytes == 0) idle_.Set(c);
  }
  if (heap_.arenas != nullptr) heap_.arenas->ReleaseIdle(IdleSince::kTick, &search);
}

// A period ends for each list once: a pass that was cut short goes on where it was.
bool PerCpuCentral::ReleaseIdleSincePeriod() {
  SpanSearch search = {.bytes = ~size_t{0}, .spans = kMaxSearched};
  const size_t count = shards();
  const size_t end = count * kSizeClassEnd;
  size_t at = pass_at_.load(std::memory_order_relaxed);
  while (at < end && search.spans != 0 && search.bytes != 0) {
    // Large objects first: between those that live, more is free throughout.
    CentralFreeList* list = ListAt(at % count, kSizeClassEnd - 1 - at / count);
    if (list != nullptr && list->held_hint() != 0)
      list->ReleaseIdle(heap_, IdleSince::kPeriod, &search);
    // A list that took the search to its end has more, perhaps.
    if (search.spans != 0) ++at;
  }
  if (at >= end && heap_.arenas != nullptr) heap_.arenas->ReleaseIdle(IdleSince::kPeriod, &search);
  pass_at_.store(at < end ? at : 0, std::memory_order_relaxed);
  return at >= end;
}

void PerCpuCentral::ReleaseOwnFree(SpanSearch* search) {
  ForEachList([this, search](CentralFreeList& list) {
    if (search->spans == 0 || search->bytes == 0 || list.held_hint() == 0) return;
    list.ReleaseAll(heap_, search);
  });
}

void PerCpuCentral::ReleaseFree(SpanSearch* search) {
  ReleaseOwnFree(search);
  if (heap_.arenas != nullptr) heap_.arenas->ReleaseFree(search);
}

void PerCpuCentral::ServeAllHooked(uint64_t now_ms) {
  if (heap_.arenas != nullptr) heap_.arenas->ServeAllHooked(now_ms);
}

void PerCpuCentral::ReturnUnusedHooked() {
  if (heap_.arenas != nullptr) heap_.arenas->ReturnUnusedHooked();
}

void PerCpuCentral::ReleaseOwn() {
  SpanSearch search = {.bytes = ~size_t{0}, .spans = ~size_t{0}};
  ReleaseOwnFree(&search);
}

void PerCpuCentral::ReleaseAll(size_t* resident) {
  SpanSearch search = {.bytes = ~size_t{0}, .spans = 0, .resident = resident};
  do {
    search.spans = kMaxSearched;
    ReleaseFree(&search);
  } while (search.spans == 0);
}

CentralFreeListStats PerCpuCentral::Stats(SizeClass size_class) {
  CentralFreeListStats stats = {};
  ForEachListOf(size_class, [&stats](CentralFreeList& list) { list.AddStats(&stats); });
  return stats;
}

size_t PerCpuCentral::CountShards() const {
  size_t count = 0;
  for (size_t s = 0; s < shards(); ++s) {
    count += shards_[s].load(std::memory_order_relaxed) != nullptr;
  }
  return count;
}

bool PerCpuCentral::CheckInvariants() {
  bool good = true;
  ForEachList([&good](CentralFreeList& list) { good = good && list.CheckInvariants(); });
  return good;
}

}  // namespace spanmalloc

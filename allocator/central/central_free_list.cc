// SPDX-License-Identifier: Apache-2.0
#include "allocator/central/central_free_list.h"

#include <string.h>

#include "absl/numeric/bits.h"

namespace spanmalloc {

void CentralFreeList::Unlist(Span* span) {
  if (span->state != SpanState::kListed) return;
  nonfull_[span->list].Remove(span);
  span->state = SpanState::kDetached;
  --totals_.nonfull_spans;
}

void CentralFreeList::Relist(Span* span) {
  const bool full = span->free_objects == 0;
  const uint8_t list = full ? 0 : ListOf(span);
  if (span->state == SpanState::kListed && !full && span->list == list) return;
  Unlist(span);
  if (full) return;
  span->list = list;
  span->state = SpanState::kListed;
  nonfull_[list].PushFront(span);
  ++totals_.nonfull_spans;
}

void CentralFreeList::UpdateHint() {
  const auto in_spans = static_cast<uint32_t>(totals_.span_objects);
  if (in_spans < spans_low_) spans_low_ = in_spans;
  held_hint_.store(static_cast<uint32_t>(count_ + totals_.span_objects), std::memory_order_relaxed);
}

size_t CentralFreeList::Take(Heap& heap, void** out, size_t want, size_t reserve) {
  size_t taken = count_ > reserve ? count_ - reserve : 0;
  if (taken > want) taken = want;
  if (taken != 0) {
    count_ -= static_cast<uint32_t>(taken);
    memcpy(out, array_ + count_, taken * sizeof(void*));
    if (count_ < low_water_) low_water_ = count_;
  } else if (totals_.nonfull_spans != 0) {
    for (size_t list = 0; list <= kReleased && taken < want; ++list) {
      while (taken < want && !nonfull_[list].empty()) {
        Span* span = nonfull_[list].front();
        const uint64_t released = span->Released();
        if (ABSL_PREDICT_FALSE(released != 0) &&
            !heap.page_heap.MayRetake(span, static_cast<size_t>(absl::popcount(released)))) {
          break;
        }
        const size_t got = span->TakeObjects(out + taken, want - taken);
        totals_.span_objects -= got;
        if (ABSL_PREDICT_FALSE(released != 0)) NoteTouched(heap, span, out + taken, got);
        taken += got;
        Relist(span);
      }
    }
  }
  if (taken != 0) NoteTaken(taken);
  return taken;
}

void CentralFreeList::NoteTaken(size_t count) {
  totals_.taken += count;
  ++totals_.fills;
  UpdateHint();
}

size_t CentralFreeList::Remove(Heap& heap, void** out, size_t want, size_t reserve) {
  os::LockHolder hold(lock_);
  return Take(heap, out, want, reserve);
}

size_t CentralFreeList::RemoveAway(Heap& heap, void** out, size_t want, size_t reserve) {
  os::LockHolder hold(lock_);
  const size_t taken = Take(heap, out, want, reserve);
  totals_.fills_away += taken != 0;
  return taken;
}

// nullptr if out of memory, or caches are asked first.
Span* CentralFreeList::MakeSpan(Heap& heap, AtPeak at_peak) {
  Span* span =
      ABSL_PREDICT_TRUE(shard_ < kFirstArenaShard)
          ? heap.page_heap.AllocateShared(size_class_, InPageMap::kYes,
                                          NodeOfShard(heap.page_heap, shard_), at_peak)
          : heap.page_heap.AllocateSharedIn(shard_ - unsigned{kFirstArenaShard}, size_class_);
  if (span == nullptr) return nullptr;
  span->shard.store(shard_, std::memory_order_relaxed);
  ++totals_.spans;
  ++totals_.spans_made;
  return span;
}

// As many new spans as are wanted, of one object each.
size_t CentralFreeList::TakeWholeSpans(Heap& heap, void** out, size_t want, bool* zeroed,
                                       AtPeak at_peak) {
  size_t taken = 0;
  *zeroed = true;
  while (taken < want) {
    Span* span = MakeSpan(heap, at_peak);
    if (ABSL_PREDICT_FALSE(span == nullptr)) break;
    span->free_objects = 0;
    out[taken++] = reinterpret_cast<void*>(span->start);
    *zeroed = *zeroed && span->zeroed;
  }
  if (taken != 0) NoteTaken(taken);
  return taken;
}

size_t CentralFreeList::RemoveOrCarve(Heap& heap, void** out, size_t want, bool* zeroed,
                                      AtPeak at_peak) {
  os::LockHolder hold(lock_);
  *zeroed = false;
  const size_t held = Take(heap, out, want, 0);
  if (held != 0) return held;
  if (IsWholeSpan(size_class_)) return TakeWholeSpans(heap, out, want, zeroed, at_peak);
  Span* span = MakeSpan(heap, at_peak);
  if (span == nullptr) return 0;
  *zeroed = span->zeroed;
  const size_t taken = span->TakeObjects(out, want);
  totals_.span_objects += span->free_objects;
  Relist(span);
  NoteTaken(taken);
  return taken;
}

bool CentralFreeList::GrowArray(Heap& heap) {
  const uint32_t limit = info().central_limit;
  if (capacity_ == limit) return false;
  uint32_t capacity = capacity_ == 0 ? kFirstCapacity : capacity_ * 2;
  if (capacity > limit) capacity = limit;
  auto** array = static_cast<void**>(heap.metadata.Allocate(capacity * sizeof(void*)));
  if (array == nullptr) return false;
  if (capacity_ != 0) {
    memcpy(array, array_, count_ * sizeof(void*));
    heap.metadata.Free(array_, capacity_ * sizeof(void*));
  }
  array_ = array;
  capacity_ = capacity;
  return true;
}

size_t CentralFreeList::Insert(Heap& heap, void* const* objects, size_t count) {
  os::LockHolder hold(lock_);
  totals_.returned += count;
  ++totals_.flushes;
  while (count_ + count > capacity_ && GrowArray(heap)) {
  }
  size_t fitting = count;
  if (ABSL_PREDICT_FALSE(count_ + count > capacity_)) {
    fitting = capacity_ - count_;
    ++totals_.spills;
  }
  if (fitting != 0) memcpy(array_ + count_, objects, fitting * sizeof(void*));
  count_ += static_cast<uint32_t>(fitting);
  UpdateHint();
  return fitting;
}

size_t CentralFreeList::DrainArray(void** out, size_t want) {
  os::LockHolder hold(lock_);
  const size_t taken = count_ < want ? count_ : want;
  count_ -= static_cast<uint32_t>(taken);
  if (taken != 0) memcpy(out, array_ + count_, taken * sizeof(void*));
  if (count_ < low_water_) low_water_ = count_;
  UpdateHint();
  return taken;
}

size_t CentralFreeList::TakeLowWater() {
  os::LockHolder hold(lock_);
  const size_t untouched = low_water_;
  low_water_ = count_;
  EndSpanTick();
  return untouched;
}

void CentralFreeList::TickSpans() {
  os::LockHolder hold(lock_);
  EndSpanTick();
}

void CentralFreeList::EndSpanTick() {
  spans_low_before_ = spans_low_;
  if (spans_low_ < spans_low_in_period_) spans_low_in_period_ = spans_low_;
  NoteIdleBytes();
  spans_low_ = static_cast<uint32_t>(totals_.span_objects);
}

// What was free since the tick before the last and the kernel doesn't have.
size_t CentralFreeList::IdleBytes() const {
  const uint32_t least = spans_low_ < spans_low_before_ ? spans_low_ : spans_low_before_;
  const size_t idle = size_t{least} * info().size;
  const size_t released = totals_.released_parts * kReleaseUnit;
  return idle > released ? idle - released : 0;
}

void CentralFreeList::NoteIdleBytes() {
  const size_t idle = IdleBytes() / kMinIdleBytesIfSmall;
  idle_hint_.store(idle < kIdleToLend ? static_cast<uint8_t>(idle) : kIdleToLend,
                   std::memory_order_relaxed);
}

void* CentralFreeList::Lend() {
  os::LockHolder hold(lock_);
  NoteIdleBytes();
  if (!lends()) return nullptr;
  for (size_t list = 0; list <= kSearched; ++list) {
    Span* span = nonfull_[list].front();
    if (span == nullptr || span->Released() != 0) continue;
    void* object;
    span->TakeObjects(&object, 1);
    --totals_.span_objects;
    if (!span->lent) span->lent = true;
    Relist(span);
    NoteTaken(1);
    return object;
  }
  return nullptr;
}

void CentralFreeList::NoteTouched(Heap& heap, Span* span, void* const* objects, size_t count) {
  const int before = absl::popcount(span->Released());
  for (size_t i = 0; i < count; ++i) span->NoteTouched(objects[i]);
  const auto retaken = static_cast<size_t>(before - absl::popcount(span->Released()));
  if (retaken == 0) return;
  totals_.released_parts -= retaken;
  heap.page_heap.NoteRetaken(span, retaken);
}

void CentralFreeList::FreeSpan(Heap& heap, Span* span) {
  Unlist(span);
  totals_.released_parts -= static_cast<size_t>(absl::popcount(span->Released()));
  totals_.span_objects -= span->free_objects;
  --totals_.spans;
  ++totals_.spans_freed;
  heap.page_heap.FreeShared(span);
}

void CentralFreeList::FreeEmptySpans(Heap& heap) {
  os::LockHolder hold(lock_);
  Span* span = nonfull_[kLists - 1].front();
  while (span != nullptr) {
    Span* next = span->next;
    if (span->free_objects == span->objects()) FreeSpan(heap, span);
    span = next;
  }
  UpdateHint();
}

void CentralFreeList::Forget() {
  os::LockHolder hold(lock_);
  for (SpanList& list : nonfull_) {
    while (!list.empty()) list.PopFront();
  }
  totals_.returned = totals_.taken;
  totals_.spans_freed += totals_.spans;
  totals_.spans = 0;
  totals_.nonfull_spans = 0;
  totals_.span_objects = 0;
  totals_.released_parts = 0;
  UpdateHint();
}

void CentralFreeList::BeginAnew(CentralFreeListStats* stats) {
  Forget();
  AddStats(stats);
  os::LockHolder hold(lock_);
  totals_ = {};
  UpdateHint();
}

void CentralFreeList::NoteReturned(size_t count) {
  os::LockHolder hold(lock_);
  totals_.returned += count;
  ++totals_.flushes;
}

void CentralFreeList::NoteMisnamed() {
  os::LockHolder hold(lock_);
  --totals_.returned;
}

// Of a span that was given back nothing else is known.
void CentralFreeList::ReportFreed(Heap& heap, void* object) const {
  heap.report({.fault = Fault::kDoubleFree,
               .pointer = object,
               .claimed_size = 0,
               .block_size = info().size,
               .block_start = nullptr});
}

// Of a run whose span was given back.
ABSL_ATTRIBUTE_NOINLINE void CentralFreeList::ReportRun(Heap& heap, void* const* objects,
                                                        ObjectRun* run) const {
  for (size_t k = run->begin; k < run->end; ++k) ReportFreed(heap, objects[k]);
  run->span = nullptr;
}

void CentralFreeList::ReportObject(Heap& heap, void* object, Span* span) const {
  const auto address = reinterpret_cast<uintptr_t>(object);
  if (span->size_class != size_class_ || !span->Contains(address)) {
    return ReportFreed(heap, object);
  }
  const size_t into = (address - span->start) % span->object_size();
  heap.report({.fault = span->HasObjectAt(object) ? Fault::kDoubleFree : InteriorFault(object),
               .pointer = object,
               .claimed_size = 0,
               .block_size = span->object_size(),
               .block_start = static_cast<char*>(object) - into});
}

// Puts objects[0, count), all of `span`, back into it. Returns whether the span became empty and
// was given back.
bool CentralFreeList::PutInSpan(Heap& heap, void* const* objects, size_t count, Span* span) {
  const size_t before = span->free_objects;
  // A span with nothing in use, given back meanwhile perhaps, has nothing put into it; nor has one
  // that is of another class by now.
  const bool in_use = span->size_class == size_class_ && span->live_objects() != 0;
  for (size_t i = 0; i < count; ++i) {
    if (ABSL_PREDICT_TRUE(in_use)) i += span->PutObjects(objects + i, count - i);
    if (ABSL_PREDICT_TRUE(i == count)) break;
    ReportObject(heap, objects[i], span);
  }
  if (span->free_objects == before) return false;
  if (ABSL_PREDICT_FALSE(span->state == SpanState::kPurged)) return false;
  if (before == 0) ++totals_.spans_reused;
  totals_.span_objects += span->free_objects - before;
  // An empty span goes back at once, unless it is the last one with free objects: a class in
  // steady use keeps one. (A span of a single object is no use to anyone else's requests.)
  const bool last = totals_.nonfull_spans == (span->state == SpanState::kListed ? 1u : 0u);
  if (span->free_objects == span->objects() && (!last || span->objects() == 1)) {
    FreeSpan(heap, span);
    return true;
  }
  Relist(span);
  return false;
}

// As PutInSpan for one object, if by that a bit changes and a count, and no list: most objects that
// are freed in no order come back so. `cut`: the shape of spans of class `c`, the list's.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline bool CentralFreeList::PutInPlace(SizeClass c,
                                                                     const SpanShape& cut,
                                                                     const void* object,
                                                                     Span* span) {
  const uint32_t after = span->free_objects + 1u;
  return span->size_class == c && span->state == SpanState::kListed && !span->in_order &&
         after < cut.objects && ListOf(cut, after) == span->list && span->PutObject(object, cut);
}

// Puts runs[0] back, whose span this list owns. If that became empty by it, any further object of
// it in this batch is free a second time.
void CentralFreeList::PutRun(Heap& heap, void* const* objects, ObjectRun* runs, size_t count) {
  Span* span = runs[0].span;
  if (!PutInSpan(heap, objects + runs[0].begin, runs[0].end - runs[0].begin, span)) return;
  for (size_t j = 1; j < count; ++j) {
    if (runs[j].span == span) ReportRun(heap, objects, &runs[j]);
  }
}

void CentralFreeList::PutOwned(Heap& heap, void* const* objects, ObjectRun* runs, size_t count) {
  os::LockHolder hold(lock_);
  const SizeClass size_class = size_class_;
  const SpanShape cut = ShapeOf(size_class);
  const uint16_t own = shard_;
  size_t put = 0;
  for (size_t i = 0; i < count; ++i) {
    ObjectRun& run = runs[i];
    if (run.span == nullptr || run.span->shard.load(std::memory_order_relaxed) != own) continue;
    if (run.end - run.begin == 1 && PutInPlace(size_class, cut, objects[run.begin], run.span)) {
      ++put;
    } else {
      PutRun(heap, objects, &run, count - i);
    }
    run.span = nullptr;
  }
  totals_.span_objects += put;
  UpdateHint();
  // Nobody else would look at it again.
  if (ABSL_PREDICT_FALSE(count != 0 && runs->span != nullptr)) ReportRun(heap, objects, runs);
}

void CentralFreeList::PutWholeSpan(Heap& heap, void* object, Span* span) {
  os::LockHolder hold(lock_);
  if (ABSL_PREDICT_FALSE(span->start != reinterpret_cast<uintptr_t>(object) ||
                         span->shard.load(std::memory_order_relaxed) != shard_ ||
                         span->size_class != size_class_ || span->free_objects != 0)) {
    return ReportObject(heap, object, span);
  }
  span->free_objects = 1;
  --totals_.spans;
  ++totals_.spans_freed;
  ++totals_.spans_reused;
  heap.page_heap.FreeShared(span);
}

// The arena's epoch ends before the list forgets its spans: while it lasts, and the lock is held,
// the objects' spans are there.
void CentralFreeList::PutBatch(Heap& heap, void* const* objects, size_t count, ArenaEpoch epoch) {
  os::LockHolder hold(lock_);
  if (epoch.IsOver()) return;
  totals_.returned += count;
  ++totals_.flushes;
  for (size_t i = 0; i < count;) {
    Span* span = heap.page_map.SpanOf(objects[i]);
    if (ABSL_PREDICT_FALSE(span == nullptr ||
                           span->shard.load(std::memory_order_relaxed) != shard_)) {
      ReportFreed(heap, objects[i++]);
      continue;
    }
    const size_t begin = i++;
    while (i < count && span->Contains(reinterpret_cast<uintptr_t>(objects[i]))) ++i;
    PutInSpan(heap, objects + begin, i - begin, span);
  }
  UpdateHint();
}

void CentralFreeList::AddStats(CentralFreeListStats* stats) {
  os::LockHolder hold(lock_);
  stats->Add(totals_);
  stats->array_objects += count_;
}

bool CentralFreeList::CheckInvariants() {
  os::LockHolder hold(lock_);
  size_t objects = 0;
  size_t spans = 0;
  size_t released = 0;
  for (const SpanList& list : nonfull_) {
    for (Span* span = list.front(); span != nullptr; span = span->next) {
      if (span->free_objects == 0 || span->free().Count() != span->free_objects ||
          span->state != SpanState::kListed ||
          (span->list < kSearched && ListOf(span) != span->list) ||
          (span->Released() & ~span->FreeParts()) != 0) {
        return false;
      }
      objects += span->free_objects;
      released += static_cast<size_t>(absl::popcount(span->Released()));
      ++spans;
    }
  }
  return objects == totals_.span_objects && spans == totals_.nonfull_spans &&
         released <= totals_.released_parts && totals_.spans >= spans && count_ <= capacity_;
}

}  // namespace spanmalloc

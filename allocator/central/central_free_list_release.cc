// SPDX-License-Identifier: Apache-2.0
//
// Memory inside spans given back to the kernel: of which spans, and what is noted about it.
#include "absl/numeric/bits.h"
#include "allocator/central/central_free_list.h"

namespace spanmalloc {
namespace {

// `value`, but no less than `least` and no more than `most`.
size_t Between(size_t least, size_t value, size_t most) {
  return value < least ? least : value > most ? most : value;
}

// Releases some parts of a span. Returns those that the kernel took.
uint64_t ReleaseRuns(Heap& heap, const Span* span, uint64_t parts, size_t* resident) {
  uint64_t left = parts;
  while (left != 0) {
    const int first = absl::countr_zero(left);
    const int count = absl::countr_one(left >> first);
    if (!heap.page_heap.ReleaseParts(span, static_cast<size_t>(first), static_cast<size_t>(count),
                                     resident)) {
      break;
    }
    left &= ~((~uint64_t{0} >> (64 - count)) << first);
  }
  return parts & ~left;
}

}  // namespace

// Notes parts of a span that the kernel has now. Returns their bytes.
size_t CentralFreeList::NoteReleased(Span* span, uint64_t parts) {
  const auto count = static_cast<size_t>(absl::popcount(parts));
  span->SetReleased(span->Released() | parts);
  totals_.released_parts += count;
  return count * kReleaseUnit;
}

// Releases the free parts of a span, which is listed as searched. Returns their bytes.
size_t CentralFreeList::ReleasePartsOf(Heap& heap, Span* span, size_t* resident) {
  const uint64_t parts = span->FreeParts() & ~span->Released();
  const size_t bytes = NoteReleased(span, ReleaseRuns(heap, span, parts, resident));
  nonfull_[span->list].Remove(span);
  span->list = span->Released() != 0 ? kReleased : kSearched;
  nonfull_[span->list].PushFront(span);
  return bytes;
}

// As ReleasePartsOf with the lock dropped: meanwhile nobody finds the span here, and it may become
// empty.
size_t CentralFreeList::PurgePartsOf(Heap& heap, Span* span, size_t* resident) {
  const uint64_t parts = span->FreeParts() & ~span->Released();
  Unlist(span);
  span->state = SpanState::kPurged;
  totals_.span_objects -= span->free_objects;
  lock_.Unlock();
  const uint64_t released = ReleaseRuns(heap, span, parts, resident);
  lock_.Lock();
  const size_t bytes = NoteReleased(span, released);
  totals_.span_objects += span->free_objects;
  span->list = span->Released() != 0 ? kReleased : kSearched;
  span->state = SpanState::kListed;
  nonfull_[span->list].PushFront(span);
  ++totals_.nonfull_spans;
  if (span->free_objects == span->objects()) FreeSpan(heap, span);
  return bytes;
}

// Searches spans, the emptiest first, until `bytes` are released or the search ends.
void CentralFreeList::ReleaseSpans(Heap& heap, size_t bytes, SpanSearch* search) {
  if (bytes > search->bytes) bytes = search->bytes;
  size_t released = 0;
  for (size_t list = kLists; list-- > 0;) {
    while (!nonfull_[list].empty() && search->spans != 0 && released < bytes) {
      Span* span = nonfull_[list].front();
      if (span->free_objects == span->objects()) {
        FreeSpan(heap, span);
        --search->spans;
        continue;
      }
      const size_t gave = search->by_hooks ? PurgePartsOf(heap, span, search->resident)
                                           : ReleasePartsOf(heap, span, search->resident);
      released += gave;
      if (gave != 0 || ++search->fruitless % SpanSearch::kFruitless == 0) --search->spans;
      // Nobody shall wait for all of it.
      lock_.Unlock();
      lock_.Lock();
    }
  }
  search->bytes -= released < search->bytes ? released : search->bytes;
}

void CentralFreeList::ReleaseIdle(Heap& heap, IdleSince since, SpanSearch* search) {
  if (since == IdleSince::kTick && !may_release()) return;
  os::LockHolder hold(lock_);
  uint32_t least = since == IdleSince::kTick ? spans_low_before_ : spans_low_in_period_;
  if (spans_low_ < least) least = spans_low_;
  if (since == IdleSince::kPeriod) spans_low_in_period_ = spans_low_;
  const size_t idle = size_t{least} * info().size;
  const size_t released = totals_.released_parts * kReleaseUnit;
  const size_t worth =
      Between(kMinIdleBytesIfSmall, heap.page_heap.PeakBytes() / kIdleShare, kMinIdleBytes);
  if (idle >= released + worth) ReleaseSpans(heap, idle - released, search);
  UpdateHint();
}

void CentralFreeList::ReleaseAll(Heap& heap, SpanSearch* search) {
  os::LockHolder hold(lock_);
  ReleaseSpans(heap, ~size_t{0}, search);
  UpdateHint();
}

}  // namespace spanmalloc

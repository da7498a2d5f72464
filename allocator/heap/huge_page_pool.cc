// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/huge_page_pool.h"

#include "absl/numeric/bits.h"

namespace spanmalloc {
namespace {

// How often growth steps over addresses that somebody else has mapped, doubling the step.
constexpr int kMaxSkips = 12;

}  // namespace

void HugePagePool::Init(uintptr_t base, uintptr_t limit, Maps* maps) {
  maps_ = maps;
  block_ = base & ~(uintptr_t{kWindowSize} - 1);
  base_ = base;
  begin_ = end_ = (base - block_) >> kHugePageShift;
  limit_ = (limit - block_) >> kHugePageShift;
  covered_end_ = begin_;
}

void HugePagePool::InitOver(HugePageSource* source, uintptr_t block, Maps* maps) {
  maps_ = maps;
  block_ = block;
  source_ = source;
}

// Whether all of a run may be taken; if not, `*busy_at` is one that may not.
bool HugePagePool::RunIsFree(size_t index, size_t count, Choice choice, size_t* busy_at) const {
  for (size_t i = index; i < index + count; ++i) {
    const bool good =
        choice == Choice::kResident
            ? maps_->dirty.Get(i)
            : maps_->free.Get(i) || (choice == Choice::kHolesToo && maps_->hole.Get(i));
    if (!good) {
      *busy_at = i;
      return false;
    }
    if (i != index && !(choice == Choice::kAcrossExtents ? Adjoins(i) : Joins(i))) {
      *busy_at = i - 1;
      return false;
    }
  }
  return true;
}

size_t HugePagePool::FindRun(size_t count, size_t alignment, Choice choice, size_t from) const {
  if (choice == Choice::kResident && dirty_count_ < count) return kWindowHugePages;
  if (choice == Choice::kFree && free_count_ < count) return kWindowHugePages;
  size_t index = RoundUp(from < begin_ ? begin_ : from, alignment);
  while (index + count <= end_) {
    size_t busy_at;
    if (RunIsFree(index, count, choice, &busy_at)) return index;
    index = busy_at + 1;
    if (choice != Choice::kHolesToo) {
      // Skip a whole word of busy huge pages at a time.
      while (index % 64 == 0 && index < end_ && maps_->free.word(index / 64) == 0) index += 64;
    }
    index = RoundUp(index, alignment);
  }
  return kWindowHugePages;
}

HugeRun HugePagePool::Claim(size_t index, size_t count) {
  maps_->free.ClearRange(index, count);
  free_count_ -= count;
  HugeRun run = {index, count, /*dirty=*/false, /*clean_tail=*/count, /*released=*/0};
  // Many programs never have such ones; then their maps aren't even touched.
  if (dirty_count_ != 0) ClaimDirty(&run);
  if (released_count_ != 0) ClaimReleased(&run);
  return run;
}

void HugePagePool::ClaimDirty(HugeRun* run) {
  const size_t dirty = maps_->dirty.CountRange(run->index, run->count);
  if (dirty == 0) return;
  run->dirty = true;
  run->clean_tail = 0;
  while (!maps_->dirty.Get(run->index + run->count - 1 - run->clean_tail)) ++run->clean_tail;
  maps_->dirty.ClearRange(run->index, run->count);
  dirty_count_ -= dirty;
}

void HugePagePool::ClaimReleased(HugeRun* run) {
  run->released = maps_->released.CountRange(run->index, run->count);
  if (run->released != 0) maps_->released.ClearRange(run->index, run->count);
  released_count_ -= run->released;
}

HugeRun HugePagePool::Take(size_t count, size_t alignment) {
  // Resident memory first: it costs no page faults, and the heap grows no larger.
  size_t index = FindRun(count, alignment, Choice::kResident);
  if (index == kWindowHugePages) index = FindRun(count, alignment, Choice::kFree);
  if (index == kWindowHugePages) {
    if (has_source()) return Adopt(source_->Acquire(count, alignment));
    if (!Grow(count, alignment)) return TakeHoles(count, alignment);
    index = FindRun(count, alignment, Choice::kFree);
    if (index == kWindowHugePages) return {};
  }
  return Claim(index, count);
}

// The end can't grow. Holes left by earlier returns may still be mapped again.
HugeRun HugePagePool::TakeHoles(size_t count, size_t alignment) {
  const size_t index = FindRun(count, alignment, Choice::kHolesToo);
  return index != kWindowHugePages && FillHoles(index, count) ? Claim(index, count) : HugeRun();
}

HugeRun HugePagePool::TakeAt(size_t index, size_t count) {
  if (has_source()) {
    size_t busy;
    const bool own =
        index + count <= end_ && Joins(index) && RunIsFree(index, count, Choice::kFree, &busy);
    return own ? Claim(index, count) : Adopt(source_->AcquireAt(index, count));
  }
  if (index > end_ || index + count > limit_) return {};
  size_t busy_at;
  const size_t mapped = index + count > end_ ? end_ - index : count;
  if (!RunIsFree(index, mapped, Choice::kFree, &busy_at)) return {};
  if (mapped < count && !MapAtEnd(count - mapped)) return {};
  return Claim(index, count);
}

// Enters a run that the source gave. What lies between such runs is holes.
HugeRun HugePagePool::Adopt(const HugeRun& run) {
  if (run.count == 0) return run;
  const size_t end = run.index + run.count;
  if (begin_ == end_) begin_ = end_ = run.index;
  if (run.index > end_) maps_->hole.SetRange(end_, run.index - end_);
  if (end < begin_) maps_->hole.SetRange(end, begin_ - end);
  maps_->hole.ClearRange(run.index, run.count);
  if (run.index < begin_) begin_ = run.index;
  if (end > end_) end_ = end;
  mapped_ += run.count;
  if (run.advised) NoteAdvised(run.index, run.count);
  return run;
}

// Forgets a run, which the caller holds, of a pool with a source.
void HugePagePool::Leave(size_t index, size_t count) {
  PutUnmapped(index, count);
  if (mapped_ == 0) {
    maps_->hole.ClearRange(begin_, end_ - begin_);
    begin_ = end_ = 0;
  }
}

void HugePagePool::PutForeign(const HugeRun& run) {
  Adopt(run);
  foreign_ += run.count;
  Put(run.index, run.count, run.dirty);
}

size_t HugePagePool::FindAdjoining(size_t from, size_t count, size_t alignment) const {
  if (foreign_ < count || free_count_ < count) return kWindowHugePages;
  return FindRun(count, alignment, Choice::kAcrossExtents, from);
}

bool HugePagePool::AdjoinsFree(size_t index, size_t count) const {
  size_t busy_at;
  return foreign_ != 0 && index + count <= end_ && Adjoins(index) &&
         RunIsFree(index, count, Choice::kAcrossExtents, &busy_at);
}

HugeRun HugePagePool::TakeForeign(size_t* cursor, ForeignPart part) {
  if (foreign_ == 0) return {};
  const ForeignMap& foreign = *page_map_.foreign();
  for (size_t index = *cursor < begin_ ? begin_ : *cursor; index < end_;) {
    index = maps_->free.FindSet(index);
    if (index >= end_) break;
    if (!foreign.Has(index)) {
      ++index;
      continue;
    }
    size_t end = index + 1;
    while (end < end_ && maps_->free.Get(end) && foreign.Joins(end)) ++end;
    const size_t count = end - index;
    const bool whole = foreign.Starts(index) && foreign.ExtentAt(index).count == count;
    const bool dirty = maps_->dirty.CountRange(index, count) != 0;
    const bool wanted = whole ? dirty || part == ForeignPart::kAll || !foreign.IsKept(index)
                              : dirty && part == ForeignPart::kAny;
    if (wanted) {
      *cursor = end;
      const HugeRun run = Claim(index, count);
      foreign_ -= count;
      Leave(index, count);
      return run;
    }
    index = end;
  }
  return {};
}

// Returns a run, which the caller holds, to the source.
void HugePagePool::ReturnRun(size_t index, size_t count, bool dirty) {
  const bool advised = IsAdvised(index, count);
  Leave(index, count);
  source_->Return({.index = index, .count = count, .dirty = dirty, .advised = advised});
}

size_t HugePagePool::NextHeld(size_t index) const {
  for (; index < end_; ++index) {
    // A word of huge pages at a time.
    const size_t w = index / 64;
    const uint64_t held = ~(maps_->hole.word(w) | maps_->free.word(w)) >> (index % 64);
    if ((held & 1) != 0) return index;
    index = held != 0 ? index + static_cast<size_t>(absl::countr_zero(held)) - 1 : w * 64 + 63;
  }
  return end_;
}

size_t HugePagePool::ReturnFree() {
  size_t returned = 0;
  for (size_t index = begin_; free_count_ != 0;) {
    index = maps_->free.FindSet(index);
    if (index >= end_) break;
    size_t count = 1;
    while (index + count < end_ && maps_->free.Get(index + count) && Joins(index + count)) ++count;
    if (!IsForeign(index)) {
      const HugeRun run = Claim(index, count);
      ReturnRun(index, count, run.dirty);
      returned += count;
    }
    index += count;
  }
  return returned;
}

HugeRun HugePagePool::NoteLent(HugeRun run) {
  if (run.count == 0) return run;
  run.advised = IsAdvised(run.index, run.count);
  ForgetAdvice(run.index, run.count);
  maps_->lent.SetRange(run.index, run.count);
  lent_ += run.count;
  mapped_ -= run.count;
  return run;
}

void HugePagePool::PutLent(const HugeRun& run) {
  maps_->lent.ClearRange(run.index, run.count);
  lent_ -= run.count;
  mapped_ += run.count;
  if (run.advised) NoteAdvised(run.index, run.count);
  Put(run.index, run.count, run.dirty);
}

void HugePagePool::Put(size_t index, size_t count, bool dirty) {
  if (!dirty && has_source() && !IsForeign(index)) return ReturnRun(index, count, /*dirty=*/false);
  maps_->free.SetRange(index, count);
  free_count_ += count;
  if (!dirty) {
    // Nothing is there to be lost.
    if (IsAdvised(index, count) && memory_.MapOver(AddressOf(index), count << kHugePageShift)) {
      ForgetAdvice(index, count);
    }
    return;
  }
  maps_->dirty.SetRange(index, count);
  dirty_count_ += count;
}

HugeRun HugePagePool::TakeLastDirty(size_t max_count) {
  size_t last = end_ - 1;
  while (!maps_->dirty.Get(last)) {
    if (last % 64 == 63 && maps_->dirty.word(last / 64) == 0) {
      last -= 64;
    } else {
      --last;
    }
  }
  size_t first = last;
  while (first > begin_ && last - first + 1 < max_count && maps_->dirty.Get(first - 1) &&
         Joins(first)) {
    --first;
  }
  return Claim(first, last - first + 1);
}

void HugePagePool::NoteReleased(size_t index, size_t count) {
  if (has_source()) return;  // it is the heap's no more
  released_count_ += count - maps_->released.CountRange(index, count);
  maps_->released.SetRange(index, count);
}

void HugePagePool::ForgetReleased() {
  if (released_count_ != 0) maps_->released.ClearRange(begin_, end_ - begin_);
  released_count_ = 0;
}

void HugePagePool::Advise(size_t index, size_t count) {
  if (advice_edges_ >= kMaxAdviceEdges || memory_.splits() + 2 > os::VirtualMemory::kMaxSplits) {
    return;
  }
  if (memory_.AdviseHugePages(AddressOf(index), count << kHugePageShift, /*wanted=*/true)) {
    NoteAdvised(index, count);
  }
}

void HugePagePool::AdviseAgainst(size_t index) {
  size_t first = index;
  while (first > begin_ && maps_->advised.Get(first - 1)) --first;
  size_t end = index + 1;
  while (end < end_ && maps_->advised.Get(end)) ++end;
  memory_.AdviseHugePages(AddressOf(first), (end - first) << kHugePageShift, /*wanted=*/false);
}

bool HugePagePool::IsAdvised(size_t index, size_t count) const {
  return maps_->advised.CountRange(index, count) != 0;
}

// The places before, in and behind a run where advice begins or ends.
size_t HugePagePool::AdviceEdges(size_t index, size_t count) const {
  size_t edges = 0;
  bool last = index > begin_ && maps_->advised.Get(index - 1);
  for (size_t i = index; i <= index + count; ++i) {
    const bool advised = i < end_ && maps_->advised.Get(i);
    edges += advised != last;
    last = advised;
  }
  return edges;
}

void HugePagePool::NoteAdviceEdges(size_t before, size_t after) {
  advice_edges_ += after - before;
  memory_.NoteSplits(static_cast<ptrdiff_t>(after - before));
}

void HugePagePool::NoteAdvised(size_t index, size_t count) {
  const size_t before = AdviceEdges(index, count);
  maps_->advised.SetRange(index, count);
  NoteAdviceEdges(before, AdviceEdges(index, count));
}

void HugePagePool::ForgetAdvice(size_t index, size_t count) {
  if (!IsAdvised(index, count)) return;
  const size_t before = AdviceEdges(index, count);
  maps_->advised.ClearRange(index, count);
  NoteAdviceEdges(before, AdviceEdges(index, count));
}

size_t HugePagePool::UnmapFree() {
  if (has_source()) return ReturnFree();
  size_t unmapped = 0;
  for (size_t index = maps_->free.FindSet(begin_); index < end_;
       index = maps_->free.FindSet(index + 1)) {
    size_t count = 1;
    while (index + count < end_ && maps_->free.Get(index + count)) ++count;
    if (!memory_.Unmap(AddressOf(index), count << kHugePageShift)) continue;
    Claim(index, count);
    PutUnmapped(index, count);
    unmapped += count;
  }
  return unmapped;
}

bool HugePagePool::FillHoles(size_t index, size_t count) {
  for (size_t i = index; i < index + count; ++i) {
    if (!maps_->hole.Get(i)) continue;
    if (page_map_.HasForeign(i, 1)) return false;
    if (!memory_.MapAt(AddressOf(i), kHugePageSize)) return false;
    maps_->hole.Clear(i);
    ++mapped_;
    Put(i, 1, /*dirty=*/false);
  }
  return true;
}

bool HugePagePool::CoverTo(size_t end) {
  if (end <= covered_end_) return true;
  const size_t covered = page_map_.Cover(covered_end_, end);
  if (covered == 0) return false;
  covered_end_ = covered;
  return true;
}

bool HugePagePool::MapAtEnd(size_t count) {
  if (end_ + count > limit_ || page_map_.HasForeign(end_, count) || !CoverTo(end_ + count) ||
      !memory_.MapAt(AddressOf(end_), count << kHugePageShift)) {
    return false;
  }
  const size_t index = end_;
  end_ += count;
  mapped_ += count;
  Put(index, count, /*dirty=*/false);
  return true;
}

bool HugePagePool::Grow(size_t count, size_t alignment) {
  // With an alignment, the aligned start may be that much farther.
  const size_t need = count + RoundUp(end_, alignment) - end_;
  size_t wish = mapped_ / 8;
  if (wish < kMinGrowth) wish = kMinGrowth;
  if (wish > kMaxGrowth) wish = kMaxGrowth;
  if (wish > need && MapAtEnd(wish)) return true;
  return MapAtEnd(need) || GrowBeyond(count, alignment);
}

bool HugePagePool::GrowBeyond(size_t count, size_t alignment) {
  // Somebody else's mapping may be in the way, or the kernel is out of memory. Probing a single
  // huge page farther on tells which.
  for (size_t skip = 1, tries = 0; tries < kMaxSkips; ++tries, skip *= 2) {
    const size_t start = RoundUp(end_ + skip, alignment);
    if (start + count > limit_ || !CoverTo(start + count)) return false;
    if (page_map_.HasForeign(start, count) ||
        !memory_.MapAt(AddressOf(start), count << kHugePageShift)) {
      continue;
    }
    maps_->hole.SetRange(end_, start - end_);
    end_ = start + count;
    mapped_ += count;
    Put(start, count, /*dirty=*/false);
    return true;
  }
  return false;
}

bool HugePagePool::CheckInvariants() const {
  if (maps_->free.CountRange(begin_, end_ - begin_) != free_count_) return false;
  if (maps_->dirty.CountRange(begin_, end_ - begin_) != dirty_count_) return false;
  if (maps_->released.CountRange(begin_, end_ - begin_) != released_count_) return false;
  if (maps_->lent.CountRange(begin_, end_ - begin_) != lent_) return false;
  if (maps_->hole.CountRange(begin_, end_ - begin_) + lent_ + mapped_ != end_ - begin_) {
    return false;
  }
  size_t foreign = 0;
  for (size_t i = begin_; i < end_; ++i) {
    foreign += has_source() && !maps_->hole.Get(i) && page_map_.HasForeign(i, 1);
    if (maps_->dirty.Get(i) && !maps_->free.Get(i)) return false;
    if (!IsMapped(i) && (maps_->free.Get(i) || maps_->advised.Get(i))) return false;
  }
  return foreign == foreign_ && AdviceEdges(begin_, end_ - begin_) == advice_edges_;
}

}  // namespace spanmalloc

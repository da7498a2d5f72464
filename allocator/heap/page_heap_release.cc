// SPDX-License-Identifier: Apache-2.0
//
// Memory given back to the kernel: when, which, and what is noted about it.
#include "absl/numeric/bits.h"
#include "allocator/heap/page_heap.h"
#include "allocator/os/thread.h"

namespace spanmalloc {
namespace {

// Free resident pages in runs too short that are borne when the heap grows, beside a share of it:
// as many, but of a small heap a 32nd, or 512 KiB.
constexpr size_t kBearableDirtyPages = 320;
constexpr size_t kBearableDirtyPagesIfSmall = 64;

// Such runs released at one growth, by as many madvise calls: what a single allocation waits for.
constexpr size_t kMaxReleasesAtGrowth = 32;

// Between two releases of such runs for which the peak needn't have risen.
constexpr uint64_t kGrowthReleaseMs = 100;

// Sooner than that, how many times the pages are released by which the peak has risen; and the peak
// from which on that is done, 64 MiB: in a small heap they would soon be taken again.
constexpr size_t kReleasedForGrowth = 2;
constexpr size_t kPeakToHold = 8192;

// By how much what is free and dirty passes the limit that was set for it before it goes back: an
// eighth, at most 16 MiB.
constexpr size_t kMaxBoundBatch = 2048;

}  // namespace

// Notes that free pages are clean.
void PageHeap::CleanPages(HugePage* huge_page, size_t first, size_t count) {
  dirty_in_cut_ -= huge_page->dirty.CountRange(first, count);
  huge_page->dirty.ClearRange(first, count);
}

// Notes which parts the kernel has of a span that is free now.
void PageHeap::CleanParts(HugePage* huge_page, const Span& span, uint64_t released) {
  static_assert(kPageSize == 2 * kReleaseUnit);
  for (size_t page = 0; page < span.pages; ++page) {
    if (((released >> (2 * page)) & 3) == 3) CleanPages(huge_page, FirstPage(&span) + page, 1);
  }
  released_parts_ -= static_cast<size_t>(absl::popcount(released));
  UpdateUnwatched();
}

// Asks for a huge page no more, before some of it is released: else the kernel would fill it up
// again. The pages of a huge page that were never given away are resident too.
void PageHeap::TakeBackAdvice(HugePage* huge_page) {
  if (!huge_page->advised) return;
  huge_page->advised = false;
  pool_.AdviseAgainst(huge_page->index);
  dirty_in_cut_ -= huge_page->FreeDirtyPages();
  huge_page->dirty.SetRange(0, kPagesPerHugePage);
  dirty_in_cut_ += huge_page->FreeDirtyPages();
}

// The heap is about to be larger than ever although many free pages are resident, in runs too
// short: lets most of those go, over several growths if they are many. Not often, unless the peak
// rises: what a steady program gives back so it soon takes again.
void PageHeap::ReleaseForGrowth() {
  size_t bearable = used_pages_ / 32;
  if (bearable < kBearableDirtyPagesIfSmall) bearable = kBearableDirtyPagesIfSmall;
  if (bearable > kBearableDirtyPages) bearable = kBearableDirtyPages;
  bearable += used_pages_ / 256;
  const size_t peak = peak_resident_.load(std::memory_order_relaxed);
  if (dirty_in_cut_ <= bearable || policy_.keeps_all() || hooked() ||
      Held() + kPagesPerHugePage <= peak) {
    return;
  }
  size_t pages = dirty_in_cut_ - bearable / 4;
  const uint64_t now = clock_.NowMs();
  if (now >= next_growth_release_ms_) {
    next_growth_release_ms_ = now + kGrowthReleaseMs;
  } else {
    const size_t risen = peak - peak_at_release_;
    if (peak < kPeakToHold || risen < kGrowthStep) return;
    if (pages > kReleasedForGrowth * risen) pages = kReleasedForGrowth * risen;
  }
  peak_at_release_ = peak;
  ReleaseInside(pages, kMaxReleasesAtGrowth);
}

// Whole huge pages are known by a bit each, and all forgotten after a while.
void PageHeap::NoteReleasedRun(const HugeRun& run) {
  const uint64_t now = clock_.NowMs();
  if (now - runs_released_since_ms_ > kReuseMs) {
    pool_.ForgetReleased();
    runs_released_since_ms_ = now;
  }
  runs_released_ms_ = now;
  pool_.NoteReleased(run.index, run.count);
}

void PageHeap::NoteReleased(HugePage* huge_page, size_t first, size_t count) {
  const uint64_t now = clock_.NowMs();
  if (now - huge_page->released_ms > kReuseMs) huge_page->released = {};
  huge_page->released_ms = now;
  huge_page->released.SetRange(first, count);
}

void PageHeap::NoteReuse(HugePage* huge_page, size_t first, size_t count) {
  const size_t released = huge_page->released.CountRange(first, count);
  if (released == 0) return;
  huge_page->released.ClearRange(first, count);
  if (clock_.NowMs() - huge_page->released_ms <= kReuseMs) totals_.reused_pages += released;
}

void PageHeap::NoteReusedRun(const HugeRun& run, size_t pages) {
  const size_t released = run.released * kPagesPerHugePage;
  if (clock_.NowMs() - runs_released_ms_ > kReuseMs) return;
  totals_.reused_pages += released < pages ? released : pages;
}

// Releases a range that nobody uses. `resident` as for Release.
bool PageHeap::ReleaseRange(void* address, size_t bytes, size_t* resident) {
  const size_t before = resident == nullptr ? 0 : memory_.Resident(address, bytes);
  if (!memory_.Release(address, bytes)) return false;
  if (resident != nullptr) *resident += before;
  return true;
}

// As ReleaseRange; others may use the heap while the kernel works.
bool PageHeap::ReleaseUnlocked(void* address, size_t bytes, size_t* resident) {
  ++releasing_;
  lock_.Unlock();
  const bool done = ReleaseRange(address, bytes, resident);
  lock_.Lock();
  --releasing_;
  return done;
}

// Called before pages are taken that are to be released. A fork goes first.
void PageHeap::WaitForFork() {
  while (forking_) {
    lock_.Unlock();
    os::Yield();
    lock_.Lock();
  }
}

void PageHeap::LockForFork() {
  lock_.Lock();
  forking_ = true;
  // A hook that the fork hasn't waited for may want a lock that the fork holds; what it is about is
  // lost to the child.
  while (releasing_ != 0 && !hooked()) {
    lock_.Unlock();
    os::Yield();
    lock_.Lock();
  }
}

void PageHeap::UnlockAfterFork() {
  forking_ = false;
  lock_.Unlock();
}

void PageHeap::ResetAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  forking_ = false;
  releasing_ = 0;
  lock_.ResetAfterFork();
}

size_t PageHeap::ReleaseHugePages(size_t pages, size_t batch, size_t* resident) {
  size_t released = 0;
  while (released < pages) {
    WaitForFork();
    const size_t wanted = HugePagesFor(pages - released);
    const HugeRun run = pool_.TakeDirty(wanted < batch ? wanted : batch);
    if (run.count == 0) break;
    // The run is ours alone.
    const bool done =
        ReleaseUnlocked(pool_.AddressOf(run.index), run.count << kHugePageShift, resident);
    pool_.Put(run.index, run.count, /*dirty=*/!done);
    ++totals_.release_calls;
    if (!done) break;
    NoteReleasedRun(run);
    released += run.count * kPagesPerHugePage;
  }
  released_bytes_ += released * kPageSize;
  return released;
}

// Releases the free dirty runs of at least `min_run` pages in one huge page, as far as they are
// whole pages of the system, by at most *calls calls, which it counts down. Each run is in use by
// nobody while the kernel works on it, so the lock can be dropped.
size_t PageHeap::ReleaseRunsOf(HugePage* huge_page, size_t min_run, size_t* calls,
                               size_t* resident) {
  const size_t unit = PagesPerSystemPage();
  size_t released = 0;
  size_t free = huge_page->used.FindClear(0);
  while (free < kPagesPerHugePage && *calls != 0) {
    const size_t end = huge_page->used.FindSet(free);
    const size_t first = RoundUp(free, unit);
    const size_t count = first < end ? (end - first) / unit * unit : 0;
    size_t dirty = huge_page->dirty.CountRange(first, count);
    if (dirty >= min_run) {
      TakeBackAdvice(huge_page);
      dirty = huge_page->dirty.CountRange(first, count);
      char* address = static_cast<char*>(pool_.AddressOf(huge_page->index)) + first * kPageSize;
      UsePages(huge_page, first, count, count);
      used_pages_ -= count;  // for limits they are gone already
      const bool done = ReleaseUnlocked(address, count * kPageSize, resident);
      used_pages_ += count;
      ++totals_.release_calls;
      --*calls;
      FreePages(huge_page, first, count, count);
      if (!done) break;
      CleanPages(huge_page, first, count);
      huge_page->thinned = true;
      NoteReleased(huge_page, first, count);
      released += dirty;
    }
    free = end < kPagesPerHugePage ? huge_page->used.FindClear(end) : kPagesPerHugePage;
  }
  UncutIfClean(huge_page);
  released_bytes_ += released * kPageSize;
  return released;
}

void PageHeap::UncutIfClean(HugePage* huge_page) {
  if (huge_page->used_pages != 0 || huge_page->FreeDirtyPages() != 0) return;
  for (HugePage*& spare : spares_) {
    if (spare == huge_page) spare = nullptr;
  }
  Uncut(huge_page);
}

// Goes round the huge pages that are cut, by address, from where the last call stopped, and calls
// madvise at most `calls` times.
size_t PageHeap::ReleaseInside(size_t pages, size_t calls, size_t* resident) {
  size_t released = 0;
  for (size_t min_run : {kMinReleaseRun, size_t{1}}) {
    for (size_t visited = 0; visited < pool_.extent(); ++visited) {
      if (released >= pages || dirty_in_cut_ == 0 || calls == 0) return released;
      WaitForFork();
      release_cursor_ = release_cursor_ + 1 < pool_.extent() ? release_cursor_ + 1 : 0;
      HugePage* huge_page = OwnHugePageAt(pool_.first_index() + release_cursor_);
      if (huge_page != nullptr) released += ReleaseRunsOf(huge_page, min_run, &calls, resident);
    }
  }
  return released;
}

bool PageHeap::ReleaseParts(const Span* span, size_t first, size_t count, size_t* resident) {
  const size_t bytes = count * kReleaseUnit;
  if (memory_.PageSize() > kReleaseUnit) return false;
  {
    os::LockHolder hold(lock_);
    TakeBackAdvice(HugePageOf(span));
  }
  void* address = reinterpret_cast<void*>(span->start + first * kReleaseUnit);
  if (!ReleaseRange(address, bytes, resident)) return false;
  os::LockHolder hold(lock_);
  ++totals_.release_calls;
  released_bytes_ += bytes;
  released_parts_ += count;
  UpdateUnwatched();
  return true;
}

void PageHeap::NoteRetaken(size_t parts) {
  os::LockHolder hold(lock_);
  released_parts_ -= parts;
  totals_.retaken_parts += parts;
  UpdateUnwatched();
  HoldLimits(0);
}

size_t PageHeap::ReleaseLocked(size_t pages, size_t* resident) {
  size_t released = ReleaseHugePages(pages, kMaxReleaseBatch, resident);
  if (released < pages) released += ReleaseInside(pages - released, ~size_t{0}, resident);
  if (released != 0) ++totals_.releases;
  return released;
}

size_t PageHeap::Release(size_t pages, size_t* resident) {
  os::LockHolder hold(lock_);
  DropSpares();
  return ReleaseLocked(pages, resident);
}

void PageHeap::SetLimits(size_t notice, size_t refuse) {
  os::LockHolder hold(lock_);
  notice_pages_ = notice;
  refuse_pages_ = refuse;
  refuses_.store(refuse != kNoLimit, std::memory_order_relaxed);
  // Kept spans are given out unasked.
  if (Held() > refuse) DropFreed();
  limit_noticed_.store(false, std::memory_order_relaxed);
  UpdateUnwatched();
}

void PageHeap::UpdateUnwatched() {
  size_t least = Raised(peak_resident_.load(std::memory_order_relaxed));
  const size_t notice = Raised(notice_pages_);
  if (notice < least) least = notice;
  // A span that is cut from a huge page is refused only where it is looked at.
  const size_t refuse = Raised(refuse_pages_);
  const size_t room = refuse > kPagesPerHugePage ? refuse - kPagesPerHugePage : 0;
  unwatched_pages_ = room < least ? room : least;
}

// Called before `pages` pages are used. False if that is refused.
bool PageHeap::HoldLimits(size_t pages) {
  const size_t held = Held() + pages;
  if (held > notice_pages_) {
    notice_pages_ = kNoLimit;
    UpdateUnwatched();
    limit_noticed_.store(true, std::memory_order_relaxed);
    if (watched_ != nullptr) watched_->limit_noticed_.store(true, std::memory_order_relaxed);
    NoteGrown();
  }
  if (held <= refuse_pages_) return true;
  const auto fits = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return used_pages_ + pages <= Raised(refuse_pages_);
  };
  if (!fits()) return false;
  // Nothing is kept for those that fit in it.
  DropSpares();
  ReleaseLocked(held - refuse_pages_);
  return fits();
}

void PageHeap::ReleaseExcess(uint64_t now_ms) {
  os::LockHolder hold(lock_);
  policy_.Note(used_pages_, now_ms);
  const size_t excess = policy_.Excess(used_pages_, DirtyPages());
  if (excess == 0) return;
  if (pool_.has_source() && used_pages_ == 0) DropSpares();
  DropFreed();
  ReleaseLocked(excess);
}

size_t PageHeap::DecayingPages() {
  os::LockHolder hold(lock_);
  const size_t dirty = DirtyPages();
  if (!policy_.limited()) dirty_bound_ = dirty + kMaxBoundBatch;
  return policy_.Decaying(used_pages_, dirty);
}

// Spans may be freed faster than anybody looks at the clock, and nobody may come by later.
void PageHeap::ReleaseBeyondBound() {
  if (hooked()) return;
  if (!policy_.limited()) {
    dirty_bound_ = kNoLimit;
    return NoteGrown();
  }
  const size_t limit = policy_.Limit(used_pages_);
  const size_t batch = limit / 8 < kMaxBoundBatch ? limit / 8 : kMaxBoundBatch;
  if (DirtyPages() > limit + batch) {
    DropFreed();
    if (DirtyPages() > limit) ReleaseLocked(DirtyPages() - limit);
  }
  const size_t dirty = DirtyPages();
  dirty_bound_ = (dirty < limit ? limit : dirty) + batch;
}

void PageHeap::ReleaseUnused() {
  os::LockHolder hold(lock_);
  if (policy_.keeps_all()) return;
  DropSpares();
  ReleaseLocked(~size_t{0});
}

HeapGrowth PageHeap::TakeGrowth() {
  os::LockHolder hold(lock_);
  const size_t peak = peak_resident_.load(std::memory_order_relaxed);
  const HeapGrowth growth = {GrownMuch(), policy_.keeps_all() ? 0 : peak - peak_at_growth_};
  peak_at_growth_ = peak;
  has_grown_.store(false, std::memory_order_relaxed);
  return growth;
}

void PageHeap::NoteIdleReturned() {
  os::LockHolder hold(lock_);
  DropFreed();
  resident_at_return_ = used_pages_ + DirtyPages();
}

bool PageHeap::ReclaimForRetry() {
  os::LockHolder hold(lock_);
  DropSpares();
  const size_t released = ReleaseLocked(~size_t{0});
  const size_t unmapped = pool_.UnmapFree();
  return released + unmapped != 0;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/memory_limits.h"

namespace spanmalloc {
namespace {

size_t Least(size_t a, size_t b) { return a < b ? a : b; }
size_t Most(size_t a, size_t b) { return a > b ? a : b; }
size_t Beyond(size_t a, size_t b) { return a > b ? a - b : 0; }
size_t InPages(size_t bytes) { return bytes == PageHeap::kNoLimit ? bytes : bytes >> kPageShift; }

// The length of the last bytes before a limit of a group's in which memory is given back.
size_t MarginOf(size_t limit) {
  const size_t margin = Least(Most(limit / 16, size_t{4} << 20), size_t{64} << 20);
  return Least(margin, limit / 4);
}

}  // namespace

void MemoryLimits::Start(size_t soft, size_t hard, GroupLimits groups) {
  os::LockHolder hold(lock_);
  soft_ = soft;
  hard_ = hard;
  use_ = groups;
  if (soft != 0 || hard != 0) return StartWatching();
  const bool ignore = groups == GroupLimits::kIgnore;
  page_heap_.SetLimits(ignore ? PageHeap::kNoLimit : kFirstReading >> kPageShift,
                       PageHeap::kNoLimit);
  next_check_ms_.store(kNever, std::memory_order_relaxed);
}

void MemoryLimits::StartWatching() {
  Watch();
  next_check_ms_.store(NextCheck(Missing(), clock_.NowMs()), std::memory_order_relaxed);
}

void MemoryLimits::SetSoft(size_t bytes) {
  os::LockHolder hold(lock_);
  soft_ = bytes;
  ApplyNow();
}

void MemoryLimits::SetHard(size_t bytes) {
  os::LockHolder hold(lock_);
  hard_ = bytes;
  ApplyNow();
}

// A limit was changed: not a slow path of the program's waits, but who changed it.
void MemoryLimits::ApplyNow() {
  const Missing missing = FindMissing();
  if (missing.bytes != 0) Pass(missing.bytes, ~size_t{0}, nullptr);
  Watch();
  next_check_ms_.store(NextCheck(missing, clock_.NowMs()), std::memory_order_relaxed);
}

void MemoryLimits::Check(uint64_t now_ms, ThreadState* own) {
  if (!lock_.TryLock()) return;
  const bool grown = page_heap_.LimitNoticed();
  if (use_ != GroupLimits::kIgnore && (reading_.limited() || now_ms >= next_reading_ms_)) {
    ReadGroups(now_ms);
  }
  const Missing missing = FindMissing();
  if (missing.bytes == 0) {
    if (now_ms >= next_pass_ms_) pass_interval_ms_ = kMinPassMs;
  } else if (now_ms >= next_pass_ms_ || (grown && CannotWait(missing))) {
    PassAndPlan(Least(missing.bytes, kMaxPassBytes), now_ms, own);
  }
  Watch();
  next_check_ms_.store(NextCheck(missing, now_ms), std::memory_order_relaxed);
  lock_.Unlock();
}

bool MemoryLimits::MakeRoom(size_t pages, ThreadState* own) {
  os::LockHolder hold(lock_);
  if (use_ == GroupLimits::kRefuse) ReadGroups(clock_.NowMs());
  Watch();
  if (pages > InPages(RefuseBytes())) return false;
  // Again as long as that helps: what goes back with a huge page wasn't all held.
  for (size_t held = ~size_t{0}; Refuses(pages) && HeldBytes() < held;) {
    held = HeldBytes();
    Pass(Beyond(held + pages * kPageSize, RefuseBytes()), ~size_t{0}, own);
    Watch();
  }
  return !Refuses(pages);
}

void MemoryLimits::ReadGroups(uint64_t now_ms) {
  reading_ = groups_.Read();
  held_at_reading_ = HeldBytes();
  next_reading_ms_ = reading_.told ? now_ms + kUnlimitedMs : kNever;
  ++totals_.readings;
}

size_t MemoryLimits::OverheadBytes() { return metadata_.used_bytes() + page_map_.covered_bytes(); }

size_t MemoryLimits::HeldBytes() { return page_heap_.HeldPages() * kPageSize; }

// How much the page heap may hold for at most `limit` bytes to be resident.
size_t MemoryLimits::HeldAt(size_t limit) { return Beyond(limit, OverheadBytes()); }

MemoryLimits::Missing MemoryLimits::FindMissing() {
  Missing missing;
  const size_t held = HeldBytes();
  if (soft_ != 0) {
    const size_t beyond = Beyond(held, HeldAt(soft_));
    // A little more, so that it doesn't begin again with the next page.
    if (beyond != 0) missing.bytes = beyond + Least(soft_ / 32, kMaxSlack);
  }
  for (const os::MemoryBound& bound : {reading_.max, reading_.high}) {
    if (!bound.exists()) continue;
    const size_t margin = MarginOf(bound.limit);
    missing.bytes = Most(missing.bytes, Beyond(margin, bound.room));
    missing.urgent |= bound.room < margin / 2;
  }
  // Of pressure that has other reasons, only what costs the program least.
  if (reading_.pressure >= kHighPressure) {
    missing.bytes = Most(missing.bytes, page_heap_.FreeDirtyPages() * kPageSize);
  }
  return missing;
}

// Whether growth asks for a pass sooner than it is time for one, and it won't be in vain.
bool MemoryLimits::CannotWait(const Missing& missing) {
  return missing.urgent && (page_heap_.FreeDirtyPages() * kPageSize >= missing.bytes ||
                            HeldBytes() >= held_at_pass_ + kMinStep);
}

void MemoryLimits::PassAndPlan(size_t bytes, uint64_t now_ms, ThreadState* own) {
  const uint64_t before_ns = totals_.pass_ns;
  const size_t gave = Pass(bytes, kMaxPassSpans, own);
  held_at_pass_ = HeldBytes();
  const uint64_t took_ms = (totals_.pass_ns - before_ns) / 1'000'000;
  next_pass_ms_ = now_ms + Most(pass_interval_ms_, took_ms * kPassShare);
  const bool fruitful = gave >= bytes / 2;
  if (gave >= kMaxPassBytes) return;  // there is more
  pass_interval_ms_ = Least(2 * pass_interval_ms_, fruitful ? kMaxFruitfulMs : kMaxFruitlessMs);
}

// Gives back `bytes`, or all that can be had; of what lies inside spans, out of so many spans.
// Returns how many bytes.
size_t MemoryLimits::Pass(size_t bytes, size_t spans, ThreadState* own) {
  const uint64_t start_ns = os::MonotonicNs();
  ++totals_.passes;
  size_t free = page_heap_.FreeDirtyPages() * kPageSize;
  const auto end_stage = [&](ReclaimStage* stage) {
    const size_t now_free = page_heap_.FreeDirtyPages() * kPageSize;
    ++stage->runs;
    stage->bytes += Beyond(now_free, free);
    free = now_free;
  };
  if (free < bytes && own != nullptr) {
    own->FlushAll();
    end_stage(&totals_.thread_caches);
  }
  if (free < bytes) {
    central_.Drain();
    end_stage(&totals_.central_lists);
  }
  size_t gave = ReleasePages(bytes);
  if (gave < bytes) {
    SpanSearch search = {.bytes = bytes - gave, .spans = spans};
    central_.ReleaseFree(&search);
    const size_t inside = bytes - gave - search.bytes;
    ++totals_.spans.runs;
    totals_.spans.bytes += inside;
    gave += inside;
    // Spans that were found empty on the way are free pages now.
    if (gave < bytes) gave += ReleasePages(bytes - gave);
  }
  if (gave < bytes / 2) ++totals_.fruitless;
  totals_.pass_ns += os::MonotonicNs() - start_ns;
  return gave;
}

size_t MemoryLimits::ReleasePages(size_t bytes) {
  const size_t gave = page_heap_.Release(PagesFor(bytes)) * kPageSize;
  ++totals_.pages.runs;
  totals_.pages.bytes += gave;
  return gave;
}

void MemoryLimits::Watch() { page_heap_.SetLimits(InPages(NoticeBytes()), InPages(RefuseBytes())); }

// What may become resident without being seen: pages that the program has and hasn't touched yet.
size_t MemoryLimits::HiddenBytes() { return Beyond(held_at_reading_, reading_.usage); }

// How much the page heap may come to hold before the next check. Half of the way to where memory is
// to be given back, so that what other processes take meanwhile isn't overlooked; but never so much
// that less than a quarter of the margin is left. That may be less than it holds already.
size_t MemoryLimits::NoticeBytes() {
  const size_t held = HeldBytes();
  size_t least = PageHeap::kNoLimit;
  if (soft_ != 0) {
    const size_t at = HeldAt(soft_);
    least = held < at ? at : held + Most(held / 16, kMinStep);
  }
  if (use_ == GroupLimits::kIgnore) return least;
  if (totals_.readings == 0) return Least(least, kFirstReading);
  for (const os::MemoryBound& bound : {reading_.max, reading_.high}) {
    if (!bound.exists()) continue;
    const size_t margin = MarginOf(bound.limit);
    const size_t way = Beyond(bound.room, margin + HiddenBytes());
    least = Least(least, held + Most(way / 2, margin / 4));
    least = Least(least, Beyond(held + bound.room, margin / 4));
  }
  return least;
}

size_t MemoryLimits::RefuseBytes() {
  size_t least = hard_ == 0 ? PageHeap::kNoLimit : HeldAt(hard_);
  if (use_ == GroupLimits::kRefuse && reading_.max.exists()) {
    least = Least(least, held_at_reading_ + reading_.max.room);
  }
  return least;
}

uint64_t MemoryLimits::NextCheck(const Missing& missing, uint64_t now_ms) {
  if (missing.bytes != 0) {
    return now_ms + Least(pass_interval_ms_ / 2, kNearMs);
  }
  for (const os::MemoryBound& bound : {reading_.max, reading_.high}) {
    const bool near = bound.room < 2 * MarginOf(bound.limit) + HiddenBytes();
    if (bound.exists() && near) return now_ms + kNearMs;
  }
  if (soft_ != 0 || hard_ != 0) return now_ms + kNearMs;
  if (reading_.limited()) return now_ms + kFarMs;
  return totals_.readings == 0 ? kNever : next_reading_ms_;
}

bool MemoryLimits::CheckInvariants() {
  os::LockHolder hold(lock_);
  return totals_.fruitless <= totals_.passes && totals_.thread_caches.runs <= totals_.passes &&
         totals_.central_lists.runs <= totals_.passes && totals_.spans.runs <= totals_.pages.runs &&
         pass_interval_ms_ >= kMinPassMs && pass_interval_ms_ <= kMaxFruitlessMs &&
         (reading_.told || !reading_.limited());
}

MemoryLimitsStats MemoryLimits::Stats() {
  os::LockHolder hold(lock_);
  MemoryLimitsStats stats = totals_;
  stats.soft = soft_;
  stats.hard = hard_;
  stats.group_max = reading_.max.exists() ? reading_.max.limit : 0;
  stats.group_high = reading_.high.exists() ? reading_.high.limit : 0;
  stats.group_usage = reading_.usage;
  stats.group_pressure = reading_.pressure;
  stats.refusals = refusals_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace spanmalloc

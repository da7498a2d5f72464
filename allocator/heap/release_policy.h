// SPDX-License-Identifier: Apache-2.0
//
// How much free memory the page heap keeps for the program to take again. A pure function of the
// pages in use over time: what was needed within the last few seconds is kept, the rest is
// returned, so steady churn never pays for a page twice and a spike is gone soon after it ends.
// Owned by the page heap, guarded by its lock.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_RELEASE_POLICY_H_
#define SPANMALLOC_ALLOCATOR_HEAP_RELEASE_POLICY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "allocator/params/memory_geometry.h"

namespace spanmalloc {

class ReleasePolicy {
 public:
  constexpr ReleasePolicy() = default;

  // 4 MiB.
  static constexpr size_t kFloorPages = 512;

  // For how long what was needed is kept: -1 for ever, 0 not at all.
  void SetDecay(int64_t ms) {
    decay_ms_ = ms;
    current_window_ = 0;
  }

  // How much free memory is kept at most, however recently it was needed: bytes, and percent of
  // what is in use. 0: any amount.
  void SetLimit(size_t bytes, size_t percent) {
    limit_pages_ = bytes >> kPageShift;
    limited_ = bytes != 0;
    limit_percent_ = percent;
  }

  // Free pages up to so many are always kept; kFloorPages, if this isn't called.
  void SetFloor(size_t pages) { floor_pages_ = pages; }

  int64_t decay_ms() const { return decay_ms_; }

  // Whether nothing is ever to be returned unasked.
  bool keeps_all() const { return decay_ms_ < 0; }

  // Notes that `used_pages` are in use at `now_ms`. (Who has waited for the lock since he looked at
  // the clock may come behind others that looked later.)
  void Note(size_t used_pages, uint64_t now_ms) {
    const uint64_t window = now_ms / WindowMs();
    if (window > current_window_) Advance(window, used_pages);
    size_t& peak = peaks_[current_window_ % kWindows];
    size_t& low = lows_[current_window_ % kWindows];
    if (used_pages < low) low = used_pages;
    if (used_pages < peak) return;
    peak = used_pages;
    if (used_pages != LastPeak()) return;
    for (size_t& since_peak : lows_) since_peak = used_pages;
  }

  // How many of `dirty_pages` free pages are to be returned now, with `used_pages` in use.
  size_t Excess(size_t used_pages, size_t dirty_pages) const {
    size_t keep = Limit(used_pages);
    if (decay_ms_ == 0) keep = 0;
    if (decay_ms_ > 0) {
      const size_t kept = Kept(used_pages);
      if (kept < keep) keep = kept;
    }
    return dirty_pages > keep ? dirty_pages - keep : 0;
  }

  // Whether there is a limit, and how many free pages it lets be kept with `used_pages` in use.
  bool limited() const { return limited_ || limit_percent_ != 0; }
  size_t Limit(size_t used_pages) const {
    size_t limit = limited_ ? limit_pages_ : ~size_t{0};
    if (limit_percent_ != 0) {
      size_t share = used_pages / 100 * limit_percent_ + used_pages % 100 * limit_percent_ / 100;
      if (share < floor_pages_) share = floor_pages_;
      if (share < limit) limit = share;
    }
    return limit;
  }

  // Whether some of `dirty_pages` free pages are to be returned later, if nothing changes.
  bool Decays(size_t used_pages, size_t dirty_pages) const {
    return Excess(used_pages, dirty_pages) == 0 && Decaying(used_pages, dirty_pages) != 0;
  }

  // How many of them are to be returned by and by, if nothing changes.
  size_t Decaying(size_t used_pages, size_t dirty_pages) const {
    const size_t kept = Beyond(used_pages, used_pages + used_pages / 8);
    return decay_ms_ > 0 && dirty_pages > kept ? dirty_pages - kept : 0;
  }

  size_t RecentPeak() const {
    size_t peak = 0;
    for (size_t p : peaks_) {
      if (p > peak) peak = p;
    }
    return peak;
  }

  // The same of this window and the last, a quarter to half of the time, and the least since then.
  size_t LastPeak() const { return std::max(PeakOf(current_window_), PeakOf(current_window_ - 1)); }
  size_t LastLow() const {
    return std::min(lows_[current_window_ % kWindows], lows_[(current_window_ - 1) % kWindows]);
  }

 private:
  static constexpr size_t kWindows = 4;

  size_t PeakOf(uint64_t window) const { return peaks_[window % kWindows]; }

  // An eighth more than the peak; and of late half of what use went up and down by besides: blocks
  // of changing sizes don't fit each other's places. A program that fell from its peak for good, or
  // comes back to it slowly, needs that no longer.
  size_t Kept(size_t used_pages) const {
    const size_t peak = RecentPeak();
    const size_t last = LastPeak();
    return Beyond(used_pages, std::max(peak + peak / 8, last + last / 8 + (last - LastLow()) / 2));
  }

  // What is kept if `wanted` pages are, the used ones included.
  size_t Beyond(size_t used_pages, size_t wanted) const {
    const size_t keep = wanted > used_pages ? wanted - used_pages : 0;
    return keep < floor_pages_ ? floor_pages_ : keep;
  }

  uint64_t WindowMs() const {
    return decay_ms_ < static_cast<int64_t>(kWindows) ? 1
                                                      : static_cast<uint64_t>(decay_ms_) / kWindows;
  }

  void Advance(uint64_t window, size_t used_pages) {
    uint64_t passed = window - current_window_;
    if (passed > kWindows) passed = kWindows;
    for (uint64_t i = 1; i <= passed; ++i) {
      peaks_[(window - passed + i) % kWindows] = used_pages;
      lows_[(window - passed + i) % kWindows] = used_pages;
    }
    current_window_ = window;
  }

  int64_t decay_ms_ = 2000;
  size_t floor_pages_ = kFloorPages;
  bool limited_ = false;
  size_t limit_pages_ = 0;
  size_t limit_percent_ = 0;
  uint64_t current_window_ = 0;
  size_t peaks_[kWindows] = {};
  size_t lows_[kWindows] = {};  // since LastPeak
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_RELEASE_POLICY_H_

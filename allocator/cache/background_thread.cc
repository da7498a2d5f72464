// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/background_thread.h"

namespace spanmalloc {

void BackgroundThread::SetEnabled(bool enabled) {
  enabled_.store(enabled, std::memory_order_relaxed);
  refused_.store(false, std::memory_order_relaxed);
  if (!enabled && running()) sleeper_.Wake();
}

void BackgroundThread::NoteActivity() {
  if (running() && seen_.load(std::memory_order_relaxed) != kActive &&
      seen_.exchange(kActive, std::memory_order_relaxed) == kAsleep) {
    sleeper_.Wake();
  }
}

bool BackgroundThread::Claim() {
  // Acquire: pairs with the releases in Step and NoteRefused: the last such thread, or who wanted
  // to start it, has left its variables.
  if (!wanted() || running_.exchange(true, std::memory_order_acquire)) return false;
  sleeper_.Reset();
  seen_.store(kActive, std::memory_order_relaxed);
  asleep_since_ms_ = clock_.NowMs();
  return true;
}

void BackgroundThread::NoteRefused() {
  refused_.store(true, std::memory_order_relaxed);
  // Release: pairs with the acquire in Claim.
  running_.store(false, std::memory_order_release);
}

bool BackgroundThread::Step(uint64_t* sleep_ms) {
  const uint64_t now = clock_.NowMs();
  runs_.fetch_add(1, std::memory_order_relaxed);
  slept_ms_.fetch_add(now - asleep_since_ms_, std::memory_order_relaxed);
  if (!enabled() || registry_.threads() == 0) {
    // Release: pairs with the acquire in Claim.
    running_.store(false, std::memory_order_release);
    return false;
  }
  // A few ms more than to the multiple, by which the clock may be slow.
  uint64_t sleep = kIntervalMs - now % kIntervalMs + 5;
  if (sleep < kMinSleepMs) sleep += kIntervalMs;
  if (seen_.exchange(kQuiet, std::memory_order_relaxed) == kActive) {
    quiet_steps_ = 0;
    idle_caches_.NoteActivity();
    idle_caches_.Look(now);
    central_.ServeAllHooked(now);
    // Slow paths that come seldom would take long over it.
    for (int i = 0; i < kPassesWhileActive && central_.InPass(); ++i) {
      central_.ReleaseIdleSincePeriod();
    }
  } else if (const uint64_t rest = DoQuietStep(now)) {
    int quiet = kQuiet;
    if (seen_.compare_exchange_strong(quiet, kAsleep, std::memory_order_relaxed)) sleep = rest;
  }
  asleep_since_ms_ = clock_.NowMs();
  *sleep_ms = sleep;
  return true;
}

// Gives back what became idle. Returns for how long no more will, if the program stays as it is; 0
// if more will by and by.
uint64_t BackgroundThread::DoQuietStep(uint64_t now) {
  const uint64_t until_look = idle_caches_.Look(now);
  const uint64_t rest = ReleaseIdle(now);
  return rest < until_look ? rest : until_look;
}

uint64_t BackgroundThread::ReleaseIdle(uint64_t now) {
  ++quiet_steps_;
  if (quiet_steps_ == 1) quiet_since_ms_ = asleep_since_ms_;
  if (quiet_steps_ <= 2) registry_.ReturnKept();
  if (quiet_steps_ == 1) central_.ReturnIdle();
  if (quiet_steps_ == 2) central_.Drain();
  page_heap_.ReleaseExcess(now);
  central_.ServeAllHooked(now);
  if (limits_.Due(now)) limits_.Check(now, nullptr);
  const int64_t decay = page_heap_.DecayMs();
  if (decay < 0) {
    // Arenas have decay times of their own.
    return quiet_steps_ > 1 && !page_heap_.Decays() ? UntilNextCheck(now, kForever) : 0;
  }
  // What lies inside spans, and what the policy keeps for a program that runs, is kept for half as
  // long after it has stopped.
  const uint64_t due = quiet_since_ms_ + static_cast<uint64_t>(decay) / 2;
  if (quiet_steps_ < 2 || (now < due && page_heap_.Decays())) return 0;
  if (now < due) return UntilNextCheck(now, due - now);
  central_.ReleaseAll();
  page_heap_.ReleaseUnused();
  central_.ReturnUnusedHooked();
  return kForever;
}

// `rest`, or less if there are limits to look after.
uint64_t BackgroundThread::UntilNextCheck(uint64_t now, uint64_t rest) const {
  const uint64_t check = limits_.next_check_ms();
  if (check == MemoryLimits::kNever) return rest;
  const uint64_t until = check > now + kMinSleepMs ? check - now : kMinSleepMs;
  return until < rest ? until : rest;
}

BackgroundThreadStats BackgroundThread::Stats() const {
  const uint64_t runs = runs_.load(std::memory_order_relaxed);
  const uint64_t slept_ms = slept_ms_.load(std::memory_order_relaxed);
  return {running() ? size_t{1} : 0, runs, runs == 0 ? 0 : slept_ms * 1000000 / runs};
}

void BackgroundThread::ResetAfterFork() {
  requested_.store(false, std::memory_order_relaxed);  // children that only save, mostly
  refused_.store(false, std::memory_order_relaxed);
  running_.store(false, std::memory_order_relaxed);
}

}  // namespace spanmalloc

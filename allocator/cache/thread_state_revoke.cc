// SPDX-License-Identifier: Apache-2.0
//
// A thread's cache taken back by another thread, and the owner's return to it; or hidden for good.
#include <string.h>

#include "allocator/cache/thread_locals.h"
#include "allocator/cache/thread_state.h"

namespace spanmalloc {

uint64_t ThreadState::Fingerprint() const {
  uint64_t mixed = 1;  // of no look is it 0
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    mixed = mixed * 31 + reinterpret_cast<uintptr_t>(Top(c)) / sizeof(void*);
  }
  return mixed;
}

bool ThreadState::AskBack() {
  if (owner_ == nullptr || !lock.TryLock()) return false;
  size_t bytes = 0;
  if (revocation() == Revocation::kNone) {
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      const size_t held = Held(c);
      if (held > 1) bytes += (held - 1) * kSizeClassTable[c].size;
    }
  }
  const bool worth_while = bytes >= kMinTakenBytes;
  if (worth_while) {
    revocation_.store(Revocation::kAsked, std::memory_order_relaxed);
    RelaxedStore(visible_, context_.empty_cache);
  }
  lock.Unlock();
  return worth_while;
}

bool ThreadState::HideFromOwner() {
  os::LockHolder hold(lock);
  if (revocation() != Revocation::kAsked) return false;
  // Acquire: pairs with the release in EndSlowPath. With 0, the slow path, if any, that ended
  // across the barrier and may have read `visible_` before, has stored what it read.
  if (__atomic_load_n(&owner_->depth, __ATOMIC_ACQUIRE) != 0) {
    EndRevocation();
    return false;
  }
  RelaxedStore(owner_->cache, context_.empty_cache);
  revocation_.store(Revocation::kHidden, std::memory_order_relaxed);
  return true;
}

TakenBack ThreadState::TakeBack() {
  os::LockHolder hold(lock);
  TakenBack taken;
  if (revocation() != Revocation::kHidden) return taken;
  revocation_.store(Revocation::kTaken, std::memory_order_relaxed);
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    if (bins_[c].array_log == 0) continue;
    const size_t held = Held(c);
    bins_[c].held_at_look = static_cast<uint16_t>(held);
    const size_t count = Taken(c);
    void* batch[PerCpuCentral::kMaxBatch];
    for (size_t done = 0; done < count;) {
      size_t n = 0;
      while (n < PerCpuCentral::kMaxBatch && done < count)
        batch[n++] = RelaxedLoad(Base(c)[done++]);
      ReturnToSpans(c, batch, n);
    }
    taken.objects += count;
    taken.bytes += count * kSizeClassTable[c].size;
  }
  share_.ReturnAll(context_.budget);
  return taken;
}

void ThreadState::LeaveToOwner() {
  os::LockHolder hold(lock);
  if (revocation() != Revocation::kTaken) EndRevocation();
}

void ThreadState::Reclaim() {
  os::LockHolder hold(lock);
  EndRevocation();
}

void ThreadState::EndRevocation() {
  if (ABSL_PREDICT_TRUE(revocation() == Revocation::kNone)) return;
  if (revocation() == Revocation::kTaken) {
    DropTaken();
    PayForLimits();
  }
  revocation_.store(Revocation::kNone, std::memory_order_relaxed);
  RelaxedStore(visible_, visible_at_rest_);
}

void ThreadState::SetHidden(bool hidden) {
  os::LockHolder hold(lock);
  visible_at_rest_ = hidden ? context_.empty_cache : &cache;
  if (revocation() == Revocation::kNone) RelaxedStore(visible_, visible_at_rest_);
}

void ThreadState::AskToCount() {
  os::LockHolder hold(lock);
  if (owner_ == nullptr) return;
  RelaxedStore(owner_->counting, true);
  visible_at_rest_ = context_.empty_cache;
  RelaxedStore(visible_, context_.empty_cache);
}

bool ThreadState::HideCounted() {
  os::LockHolder hold(lock);
  if (owner_ == nullptr) return true;
  // Acquire: pairs with the release in EndSlowPath, as in HideFromOwner.
  if (__atomic_load_n(&owner_->depth, __ATOMIC_ACQUIRE) != 0) return false;
  RelaxedStore(owner_->cache, Visible());
  return true;
}

// What is the thread's own moves to the bottom of the stacks.
void ThreadState::DropTaken() {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    Bin& bin = bins_[c];
    if (bin.array_log == 0) continue;
    const size_t taken = Taken(c);
    const size_t own = Held(c) - taken;
    if (taken != 0) memmove(Base(c), Base(c) + taken, own * sizeof(void*));
    SetTop(c, Base(c) + own);
    bin.held_at_look = kNeverHeld;
    bin.history.refill = 0;
  }
}

// What the bin may hold: half of what it did, or without a budget at most what every thread may.
size_t ThreadState::LimitPaid(size_t c, bool within_budget) const {
  const SizeClassInfo& info = kSizeClassTable[c];
  const size_t overdrawn = info.size > kMaxOverdrawnSize ? 0 : info.batch;
  size_t limit = (Limit(c) + 1) / 2;
  if (!within_budget && limit > overdrawn) limit = overdrawn;
  return limit > Held(c) ? limit : Held(c);
}

// The limits are paid for anew: their share of the budget was returned.
void ThreadState::PayForLimits() {
  for (bool within_budget : {true, false}) {
    int64_t cost = 0;
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      cost += static_cast<int64_t>(LimitPaid(c, within_budget) * kSizeClassTable[c].size);
    }
    if (!share_.Provide(context_.budget, cost) && within_budget) continue;
    for (size_t c = 1; c < kSizeClassEnd; ++c) SetLimit(c, LimitPaid(c, within_budget));
    share_.Pay(cost);
    return;
  }
}

}  // namespace spanmalloc

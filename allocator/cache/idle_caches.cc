// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/idle_caches.h"

#include "allocator/os/process_barrier.h"

namespace spanmalloc {

void IdleCaches::Begin() {
  ready_ = wanted_ && os::RegisterProcessBarrier();
  settled_ = false;
}

uint64_t IdleCaches::Look(uint64_t now_ms) {
  if (!ready_) return kForever;
  if (now_ms >= next_look_ms_) {
    next_look_ms_ = now_ms + kLookMs;
    settled_ = !MarkIdle();
    if (registry_.cpu_caches().ReturnIdle()) settled_ = false;
    while (TakeSome()) {
    }
  }
  return settled_ ? kForever : next_look_ms_ - now_ms;
}

// Marks the states that are as they were at the last look. Returns whether any isn't.
bool IdleCaches::MarkIdle() {
  os::LockHolder hold(registry_.lock());
  bool moved = false;
  registry_.ForEach([&moved](ThreadState* state) {
    const uint64_t fingerprint = state->Fingerprint();
    state->idle_at_look = fingerprint == state->fingerprint_at_look;
    state->fingerprint_at_look = fingerprint;
    moved = moved || !state->idle_at_look;
  });
  return moved;
}

// Takes the caches of some states marked. Returns whether others may be left.
bool IdleCaches::TakeSome() {
  os::LockHolder hold(registry_.lock());
  ThreadState* victims[kMaxVictims];
  size_t count = 0;
  registry_.ForEach([&](ThreadState* state) {
    if (!state->idle_at_look || count == kMaxVictims) return;
    state->idle_at_look = false;
    if (state->AskBack()) victims[count++] = state;
  });
  if (count == 0) return false;
  const bool more = count == kMaxVictims;
  ready_ = os::ProcessBarrier();
  for (size_t i = 0; ready_ && i < count; ++i) {
    if (!victims[i]->HideFromOwner()) victims[i--] = victims[--count];
  }
  ready_ = ready_ && os::ProcessBarrier();
  for (size_t i = 0; i < count; ++i) {
    if (!ready_) {
      victims[i]->LeaveToOwner();
      continue;
    }
    const TakenBack taken = victims[i]->TakeBack();
    if (taken.objects == 0) continue;
    caches_.fetch_add(1, std::memory_order_relaxed);
    objects_.fetch_add(taken.objects, std::memory_order_relaxed);
    bytes_.fetch_add(taken.bytes, std::memory_order_relaxed);
  }
  return ready_ && more;
}

}  // namespace spanmalloc

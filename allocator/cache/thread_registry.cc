// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/thread_registry.h"

#include <new>

#include "allocator/util/sharing_counts.h"

namespace spanmalloc {

ThreadState* ThreadRegistry::Create(ThreadLocals* owner) {
  void* block = context_.metadata.Allocate(sizeof(ThreadState));
  if (block == nullptr) return nullptr;
  auto* state = new (block) ThreadState(context_, owner);
  os::LockHolder hold(lock_);
  live_.PushFront(state);
  CountEvent(CountedEvent::kThreadWrite);
  threads_.fetch_add(1, std::memory_order_relaxed);
  created_.fetch_add(1, std::memory_order_relaxed);
  return state;
}

void ThreadRegistry::Destroy(ThreadState* state) {
  {
    os::LockHolder hold(lock_);
    live_.Remove(state);
    state_locks_taken_ += state->lock.taken();
    CountEvent(CountedEvent::kThreadWrite);
    threads_.fetch_sub(1, std::memory_order_relaxed);
  }
  state->TearDown();
  context_.metadata.Delete(state);
}

size_t ThreadRegistry::AddCounts(size_t* counts) {
  os::LockHolder hold(lock_);
  for (ThreadState* state = live_.front(); state != nullptr; state = state->next) {
    state->AddCounts(counts);
  }
  return threads();
}

uint64_t ThreadRegistry::StateLocksTaken() {
  os::LockHolder hold(lock_);
  uint64_t taken = state_locks_taken_;
  ForEach([&taken](const ThreadState* state) { taken += state->lock.taken(); });
  return taken;
}

void ThreadRegistry::LockAll() {
  lock_.Lock();
  for (ThreadState* state = live_.front(); state != nullptr; state = state->next) {
    state->lock.Lock();
  }
}

void ThreadRegistry::UnlockAll() {
  for (ThreadState* state = live_.front(); state != nullptr; state = state->next) {
    state->lock.Unlock();
  }
  lock_.Unlock();
}

void ThreadRegistry::ResetAfterFork(ThreadState* own) {
  while (!live_.empty()) {
    ThreadState* state = live_.PopFront();
    state->lock.ResetAfterFork();
    if (state != own) orphans_.PushFront(state);
  }
  if (own != nullptr) live_.PushFront(own);
  threads_.store(own != nullptr ? 1 : 0, std::memory_order_relaxed);
  has_orphans_.store(!orphans_.empty(), std::memory_order_relaxed);
  lock_.ResetAfterFork();
}

void ThreadRegistry::DestroyOrphans() {
  for (;;) {
    ThreadState* state;
    {
      os::LockHolder hold(lock_);
      if (orphans_.empty()) {
        has_orphans_.store(false, std::memory_order_relaxed);
        return;
      }
      state = orphans_.PopFront();
    }
    state->TearDown();
    context_.metadata.Delete(state);
  }
}

bool ThreadRegistry::CheckInvariants() {
  os::LockHolder hold(lock_);
  size_t count = 0;
  for (ThreadState* state = live_.front(); state != nullptr; state = state->next) {
    if (!state->CheckInvariants()) return false;
    ++count;
  }
  return count == threads();
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/thread_registry.h"

#include <new>

#include "allocator/util/sharing_counts.h"

namespace spanmalloc {

void ThreadRegistry::NoteThreads(size_t threads) {
  CountEvent(CountedEvent::kThreadWrite);
  threads_.store(threads, std::memory_order_relaxed);
}

void ThreadRegistry::AddLive(ThreadState* state) {
  live_.PushFront(state);
  NoteThreads(threads() + 1);
  created_.store(created() + 1, std::memory_order_relaxed);
}

ThreadState* ThreadRegistry::TakeKept() {
  ThreadState* state = kept_.PopFront();
  const size_t left = kept_count() - 1;
  kept_count_.store(left, std::memory_order_relaxed);
  if (left < kept_low_) kept_low_ = left;
  return state;
}

ThreadState* ThreadRegistry::Create(ThreadLocals* owner) {
  {
    os::LockHolder hold(lock_);
    if (!kept_.empty()) {
      ThreadState* state = TakeKept();
      state->Adopt(owner);
      AddLive(state);
      return state;
    }
  }
  void* block = context_.metadata.Allocate(sizeof(ThreadState));
  if (block == nullptr) return nullptr;
  auto* state = new (block) ThreadState(context_, owner);
  os::LockHolder hold(lock_);
  AddLive(state);
  return state;
}

void ThreadRegistry::Return(ThreadState* state) {
  state->TearDown();
  context_.metadata.Delete(state);
}

void ThreadRegistry::Destroy(ThreadState* state) {
  {
    os::LockHolder hold(lock_);
    live_.Remove(state);
    NoteThreads(threads() - 1);
    if (kept_count() < kMaxKept && state->MayKeep(kMaxKeptBytes)) {
      kept_.PushFront(state);
      kept_count_.store(kept_count() + 1, std::memory_order_relaxed);
      return;
    }
    state_locks_.Add(state->lock.acquisitions());
  }
  Return(state);
}

void ThreadRegistry::ReturnKept(size_t count) {
  for (; count != 0; --count) {
    ThreadState* state;
    {
      os::LockHolder hold(lock_);
      if (kept_.empty()) return;
      state = TakeKept();
      state_locks_.Add(state->lock.acquisitions());
    }
    Return(state);
  }
}

void ThreadRegistry::ReturnKept() { ReturnKept(kMaxKept); }

void ThreadRegistry::ReturnIdle() {
  size_t idle;
  {
    os::LockHolder hold(lock_);
    idle = kept_low_;
    kept_low_ = kept_count();
  }
  if (idle != 0) ReturnKept(idle);
}

size_t ThreadRegistry::AddCounts(size_t* counts, size_t* limits) {
  ReturnKept();
  os::LockHolder hold(lock_);
  for (ThreadState* state = live_.front(); state != nullptr; state = state->next) {
    state->AddCounts(counts, limits);
  }
  return threads();
}

void ThreadRegistry::AddStateLocks(os::LockAcquisitions* sum) {
  os::LockHolder hold(lock_);
  sum->Add(state_locks_);
  const auto add = [sum](const ThreadState* state) { sum->Add(state->lock.acquisitions()); };
  ForEach(add);
  for (ThreadState* state = kept_.front(); state != nullptr; state = state->next) add(state);
}

void ThreadRegistry::ResetStateLocks() {
  os::LockHolder hold(lock_);
  state_locks_ = {};
  const auto reset = [](ThreadState* state) {
    os::LockHolder hold_state(state->lock);
    state->lock.ResetAcquisitions();
  };
  ForEach(reset);
  for (ThreadState* state = kept_.front(); state != nullptr; state = state->next) reset(state);
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
    Return(state);
  }
}

bool ThreadRegistry::CheckInvariants() {
  os::LockHolder hold(lock_);
  size_t count = 0;
  for (ThreadState* state = live_.front(); state != nullptr; state = state->next) {
    if (!state->CheckInvariants()) return false;
    ++count;
  }
  size_t kept = 0;
  for (ThreadState* state = kept_.front(); state != nullptr; state = state->next) {
    if (!state->CheckInvariants()) return false;
    ++kept;
  }
  return count == threads() && kept == kept_count() && kept_low_ <= kept && kept <= kMaxKept;
}

}  // namespace spanmalloc

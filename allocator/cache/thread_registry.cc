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

bool ThreadRegistry::BeginSharing() {
  if (!cpu_caches_.Prepare()) return false;
  os::LockHolder hold(lock_);
  sharing_.store(sharing() + 1, std::memory_order_relaxed);
  NoteThreads(threads() + 1);
  return true;
}

void ThreadRegistry::EndSharing() {
  os::LockHolder hold(lock_);
  NoteThreads(threads() - 1);
  sharing_.store(sharing() - 1, std::memory_order_relaxed);
}

ThreadState* ThreadRegistry::TakeKept() {
  ThreadState* state = kept_.PopFront();
  if (--kept_count_ < kept_low_) kept_low_ = kept_count_;
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

ThreadState* ThreadRegistry::CreateFor(unsigned arena, ThreadLocals* owner) {
  void* block = context_.metadata.Allocate(sizeof(ThreadState));
  if (block == nullptr) return nullptr;
  auto* state = new (block) ThreadState(context_, owner, arena);
  os::LockHolder hold(lock_);
  live_.PushFront(state);
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
    if (state->arena() == 0) {
      NoteThreads(threads() - 1);
      if (kept_count_ < kMaxKept && state->MayKeep(kMaxKeptBytes)) {
        kept_.PushFront(state);
        ++kept_count_;
        return;
      }
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
    kept_low_ = kept_count_;
  }
  if (idle != 0) ReturnKept(idle);
}

void ThreadRegistry::AddStateLocks(os::LockAcquisitions* sum) {
  os::LockHolder hold(lock_);
  sum->Add(state_locks_);
  cpu_caches_.AddStateLocks(sum);
  const auto add = [sum](const ThreadState* state) { sum->Add(state->lock.acquisitions()); };
  ForEach(add);
  for (ThreadState* state = kept_.front(); state != nullptr; state = state->next) add(state);
}

void ThreadRegistry::ResetStateLocks() {
  os::LockHolder hold(lock_);
  state_locks_ = {};
  cpu_caches_.ResetStateLocks();
  const auto reset = [](ThreadState* state) {
    os::LockHolder hold_state(state->lock);
    state->lock.ResetAcquisitions();
  };
  ForEach(reset);
  for (ThreadState* state = kept_.front(); state != nullptr; state = state->next) reset(state);
}

void ThreadRegistry::LockAll() {
  lock_.Lock();
  cpu_caches_.LockAll();
  for (ThreadState* state = live_.front(); state != nullptr; state = state->next) {
    state->lock.Lock();
  }
}

void ThreadRegistry::UnlockAll() {
  for (ThreadState* state = live_.front(); state != nullptr; state = state->next) {
    state->lock.Unlock();
  }
  cpu_caches_.UnlockAll();
  lock_.Unlock();
}

void ThreadRegistry::ResetAfterFork(ThreadState* own, bool shares) {
  ThreadState* of_arena = own != nullptr ? own->of_arena : nullptr;
  while (!live_.empty()) {
    ThreadState* state = live_.PopFront();
    state->lock.ResetAfterFork();
    if (state != own && state != of_arena) orphans_.PushFront(state);
  }
  if (own != nullptr) live_.PushFront(own);
  if (of_arena != nullptr) live_.PushFront(of_arena);
  cpu_caches_.ResetAfterFork();
  threads_.store(own != nullptr || shares ? 1 : 0, std::memory_order_relaxed);
  sharing_.store(shares ? 1 : 0, std::memory_order_relaxed);
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
    if (state->arena() == 0) ++count;
  }
  size_t kept = 0;
  for (ThreadState* state = kept_.front(); state != nullptr; state = state->next) {
    if (!state->CheckInvariants()) return false;
    ++kept;
  }
  return count + sharing() == threads() && cpu_caches_.CheckInvariants() && kept == kept_count_ &&
         kept_low_ <= kept && kept <= kMaxKept;
}

}  // namespace spanmalloc

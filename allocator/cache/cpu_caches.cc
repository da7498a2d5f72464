// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/cpu_caches.h"

#include <new>

#include "allocator/os/current_cpu.h"

namespace spanmalloc {

bool CpuCaches::Prepare() {
  if (table() != nullptr) return true;
  if (!os::CpuStacks::Available()) return false;
  os::LockHolder hold(lock_);
  if (table() != nullptr) return true;
  Table* made = context_.metadata.New<Table>();
  if (made == nullptr) return false;
  budget_.Init(OwnTotal());
  // Release: pairs with the acquire in table().
  table_.store(made, std::memory_order_release);
  return true;
}

// Calls visit(cpu, ThreadState*) for every cache.
template <typename Visit>
void CpuCaches::ForEach(Visit visit) {
  Table* all = table();
  if (all == nullptr) return;
  for (size_t cpu = 0; cpu < all->end.load(std::memory_order_relaxed); ++cpu) {
    // Acquire: pairs with the release in Make.
    ThreadState* state = all->states[cpu].load(std::memory_order_acquire);
    if (state != nullptr) visit(cpu, state);
  }
}

// The first thread of a CPU makes its cache.
ThreadState* CpuCaches::Make(size_t cpu) {
  Table* all = table();
  if (cpu >= kCpus || all->states[cpu].load(std::memory_order_relaxed) != nullptr) return nullptr;
  os::LockHolder hold(lock_);
  if (all->states[cpu].load(std::memory_order_relaxed) != nullptr) return nullptr;
  void* block = context_.metadata.Allocate(sizeof(ThreadState));
  if (block == nullptr) return nullptr;
  auto* state = new (block) ThreadState(context_);
  // Release: pairs with the acquire in ForEach and Take.
  all->states[cpu].store(state, std::memory_order_release);
  if (cpu >= all->end.load(std::memory_order_relaxed)) {
    all->end.store(cpu + 1, std::memory_order_relaxed);
  }
  return state;
}

// Takes this CPU's cache away; nullptr if it is away.
ThreadState* CpuCaches::Take(size_t* cpu) {
  Table* all = table();
  *cpu = all->stacks.Take();
  // Acquire: pairs with the release in Make.
  if (*cpu != kCpus) return all->states[*cpu].load(std::memory_order_acquire);
  *cpu = os::CpuNumber();
  return Make(*cpu);
}

void* CpuCaches::Allocate(size_t c, bool* zeroed) {
  void* object = Pop(c);
  if (object != nullptr) return object;
  size_t cpu;
  if (ThreadState* state = Take(&cpu)) {
    object = state->cache.Pop(c);
    if (object == nullptr) object = state->Refill(c, zeroed);
    table()->stacks.PutBack(cpu, &state->cache);
    return object;
  }
  context_.central.Remove(static_cast<SizeClass>(c), &object, 1, zeroed);
  return object;
}

void CpuCaches::Free(size_t c, void* object) {
  if (Push(c, object)) return;
  size_t cpu;
  if (ThreadState* state = Take(&cpu)) {
    if (!state->cache.Push(c, object)) state->Overflow(c, object);
    table()->stacks.PutBack(cpu, &state->cache);
    return;
  }
  context_.central.Insert(static_cast<SizeClass>(c), &object, 1);
}

bool CpuCaches::ComesAgain(const void* thread) {
  const size_t cpu = os::CpuNumber();
  // Acquire: pairs with the release in Make.
  ThreadState* state = cpu < kCpus ? table()->states[cpu].load(std::memory_order_acquire) : nullptr;
  if (state == nullptr || state->last_thread.load(std::memory_order_relaxed) == thread) return true;
  state->last_thread.store(thread, std::memory_order_relaxed);
  return false;
}

// Tears down the caches for which wanted(ThreadState*) holds.
template <typename Wanted>
void CpuCaches::Return(Wanted wanted) {
  os::LockHolder hold(lock_);
  bool any = false;
  ForEach([&](size_t cpu, ThreadState* state) {
    state->idle_at_look = wanted(state) && table()->stacks.Withdraw(cpu);
    any = any || state->idle_at_look;
  });
  if (!any) return;
  const bool apart = os::CpuStacks::BarrierOnCpus();
  ForEach([&](size_t cpu, ThreadState* state) {
    if (!state->idle_at_look) return;
    if (!apart) return table()->stacks.TakeNone(cpu, &state->cache);
    // If a thread of the CPU has taken the stacks at the same time, it puts them back.
    if (!table()->stacks.Withdrawn(cpu)) return;
    state->TearDown();
    state->fingerprint_at_look = state->Fingerprint();
    table()->stacks.PutBack(cpu, &state->cache);
  });
}

bool CpuCaches::ReturnIdle() {
  bool touched = false;
  const int64_t total = OwnTotal();
  if (table() != nullptr && budget_.total() != total) budget_.SetTotal(total);
  Return([&touched](ThreadState* state) {
    const uint64_t fingerprint = state->Fingerprint();
    const bool same = fingerprint == state->fingerprint_at_look;
    state->fingerprint_at_look = fingerprint;
    touched = touched || !same;
    return same && state->HoldsAnything();
  });
  return touched;
}

void CpuCaches::ReturnAll() {
  Return([](ThreadState* state) { return state->HoldsAnything(); });
}

void CpuCaches::AddCounts(size_t* counts, size_t* limits) {
  ForEach([=](size_t, ThreadState* state) { state->AddCounts(counts, limits); });
}

void CpuCaches::AddStateLocks(os::LockAcquisitions* sum) {
  ForEach([sum](size_t, const ThreadState* state) { sum->Add(state->lock.acquisitions()); });
}

void CpuCaches::ResetStateLocks() {
  ForEach([](size_t, ThreadState* state) {
    os::LockHolder hold(state->lock);
    state->lock.ResetAcquisitions();
  });
}

void CpuCaches::LockAll() {
  lock_.Lock();
  ForEach([](size_t, ThreadState* state) ABSL_NO_THREAD_SAFETY_ANALYSIS { state->lock.Lock(); });
}

void CpuCaches::UnlockAll() {
  ForEach([](size_t, ThreadState* state) ABSL_NO_THREAD_SAFETY_ANALYSIS { state->lock.Unlock(); });
  lock_.Unlock();
}

// Threads that had stacks taken away aren't there any more to put them back.
void CpuCaches::ResetAfterFork() {
  ForEach([this](size_t cpu, ThreadState* state) {
    state->lock.ResetAfterFork();
    table()->stacks.PutBack(cpu, &state->cache);
  });
  lock_.ResetAfterFork();
}

bool CpuCaches::CheckInvariants() {
  bool good = true;
  ForEach([&good](size_t, ThreadState* state) { good = good && state->CheckInvariants(); });
  return good;
}

size_t CpuCaches::Count() {
  size_t count = 0;
  ForEach([&count](size_t, ThreadState*) { ++count; });
  return count;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// Caches that belong to CPUs, for the threads of a process that has very many: a thread cache which
// its thread finds cold every time is of little use, and hundreds of them hold much memory. Such
// threads pop and push on the stacks of the CPU they run on (os/cpu_stacks.h), which are as a
// thread's (ThreadState) and have a budget of their own, a quarter of the threads'.
//
// A slow path takes the CPU's stacks away for as long as it refills or flushes them; other threads
// that run on the CPU meanwhile go to the central free lists. A ThreadState's lock is held besides,
// for statistics and fork. Part of the ThreadRegistry, which decides who shares.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_CPU_CACHES_H_
#define SPANMALLOC_ALLOCATOR_CACHE_CPU_CACHES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/cache/thread_state.h"
#include "allocator/os/cpu_stacks.h"
#include "allocator/os/ranked_lock.h"

namespace spanmalloc {

class CpuCaches {
 public:
  explicit constexpr CpuCaches(const CacheContext& context)
      : context_{context.central, context.metadata, budget_, context.clock, context.empty_cache},
        threads_budget_(context.budget) {}

  // Makes the table of CPUs, if it isn't there. False if this process can't have such caches; then
  // nothing below may be called but what is for all.
  bool Prepare();

  // The paths of a hit; nullptr, or false, if it is none.
  void* Pop(size_t c) { return table()->stacks.Pop(c); }
  bool Push(size_t c, void* object) { return table()->stacks.Push(c, object); }

  // What they miss, in a slow path. nullptr if out of memory.
  void* Allocate(size_t c, bool* zeroed);
  void Free(size_t c, void* object);

  // `thread` comes to a slow path. Whether it came to the last one on its CPU, too, among those
  // that this is called for; true if nobody has shared there yet.
  bool ComesAgain(const void* thread);

  // A look, by one thread from time to time: returns what is in the caches that nobody touched
  // since the last one. Returns whether any was touched.
  bool ReturnIdle() ABSL_LOCKS_EXCLUDED(lock_);
  // Returns all that is in caches, and what they may hold, to the central free lists.
  void ReturnAll() ABSL_LOCKS_EXCLUDED(lock_);

  // For all: as those of the registry.
  void AddCounts(size_t* counts, size_t* limits = nullptr);
  void AddStateLocks(os::LockAcquisitions* sum);
  void ResetStateLocks();
  void LockAll() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void UnlockAll() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void ResetAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  bool CheckInvariants();

  // How many there are, and what they share.
  size_t Count();
  const CacheBudget& budget() const { return budget_; }

 private:
  static constexpr size_t kCpus = os::CpuStacks::kCpus;

  struct Table {
    os::CpuStacks stacks;
    std::atomic<ThreadState*> states[kCpus] = {};
    std::atomic<size_t> end{0};  // CPUs from here on have none
  };

  // Acquire: pairs with the release in Prepare.
  Table* table() const { return table_.load(std::memory_order_acquire); }
  template <typename Visit>
  void ForEach(Visit visit);
  ThreadState* Take(size_t* cpu);
  ThreadState* Make(size_t cpu);
  template <typename Wanted>
  void Return(Wanted wanted) ABSL_LOCKS_EXCLUDED(lock_);

  // They are fewer than the threads' own, and always warm.
  int64_t OwnTotal() const { return threads_budget_.total() / 4; }

  CacheBudget budget_;
  const CacheContext context_;
  CacheBudget& threads_budget_;
  os::RankedLock lock_{LockRank::kThreadRegistry};  // who withdraws stacks; who makes the table
  std::atomic<Table*> table_{nullptr};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_CPU_CACHES_H_

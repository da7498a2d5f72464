// SPDX-License-Identifier: Apache-2.0
//
// Stacks of pointers that belong to a CPU: a slot for each CPU, which points to the stacks that the
// threads running there pop and push, without a lock or an atomic read-modify-write. Each operation
// is a restartable sequence: the kernel breaks it off where the thread loses its CPU before the
// last store, or gets a signal. The C library registers them for every thread (glibc 2.35 and
// later); where it doesn't, and on processors other than x86-64, there are no such stacks.
//
// The stacks behind a slot are laid out as cache/thread_cache.h has them: for each class its top,
// then for each class its limit; below the bottom lies nullptr.
//
// WHO MAY CHANGE THEM OTHERWISE. Who has taken the stacks away, and nobody else, until they are put
// back: a thread of their CPU by Take; one of any CPU by Withdraw, a barrier (BarrierOnCpus) and
// Withdrawn, in which it fails where a thread of that CPU was faster. Withdraw, one thread at a
// time.
#ifndef SPANMALLOC_ALLOCATOR_OS_CPU_STACKS_H_
#define SPANMALLOC_ALLOCATOR_OS_CPU_STACKS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/params/size_class_table.h"

namespace spanmalloc::os {

class CpuStacks {
 public:
  // CPUs numbered beyond have no slot.
  static constexpr size_t kCpus = 1024;
  // Where the stacks have their limits, in bytes from their tops.
  static constexpr size_t kLimits = kSizeClassEnd * sizeof(void*);

  // Whether this process can have some. No other function is to be called otherwise.
  static bool Available();

  // The top of this CPU's stack of class `c`; nullptr if it is empty, or the stacks are away, or
  // the thread was interrupted.
  void* Pop(size_t c);

  // Puts an object on this CPU's stack of class `c`. False if it is full, or else as above.
  bool Push(size_t c, void* object);

  // Takes this CPU's stacks away. Returns the CPU; kCpus if there are none, or else as above.
  size_t Take();

  // Puts stacks in a CPU's slot, where they were taken from, or for the first time, once.
  void PutBack(size_t cpu, void* stacks) {
    // Release: pairs with what a thread of that CPU, which the kernel has switched to, loads.
    slots_[cpu].store(reinterpret_cast<uintptr_t>(stacks), std::memory_order_release);
  }

  // Begins to take away the stacks of any CPU. False if they are away.
  bool Withdraw(size_t cpu) {
    uintptr_t stacks = slots_[cpu].load(std::memory_order_relaxed);
    return stacks > kTaken &&
           slots_[cpu].compare_exchange_strong(stacks, kNone, std::memory_order_relaxed);
  }
  // After Withdraw and a barrier: whether they are the caller's.
  bool Withdrawn(size_t cpu) const { return slots_[cpu].load(std::memory_order_relaxed) == kNone; }

  // After Withdraw without a barrier: never mind.
  void TakeNone(size_t cpu, void* stacks) {
    uintptr_t none = kNone;
    // Release: as in PutBack.
    slots_[cpu].compare_exchange_strong(none, reinterpret_cast<uintptr_t>(stacks),
                                        std::memory_order_release, std::memory_order_relaxed);
  }

  // Breaks off every operation that is under way on any CPU, and is a full barrier there. False if
  // the kernel can't.
  static bool BarrierOnCpus();

 private:
  // A slot's value, if it isn't the address of stacks.
  static constexpr uintptr_t kNone = 0;
  static constexpr uintptr_t kTaken = 1;

  std::atomic<uintptr_t> slots_[kCpus] = {};
};

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_CPU_STACKS_H_

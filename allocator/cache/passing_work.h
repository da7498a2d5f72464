// SPDX-License-Identifier: Apache-2.0
//
// Work that threads do in passing, every so often: one thread at a time, and for no more than every
// other moment, however long it takes. The runtime's slow paths keep the time of their maintenance
// by it.
//
// Atomic variables alone; a fork's child calls ResetAfterFork, since whoever was at it isn't there.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_PASSING_WORK_H_
#define SPANMALLOC_ALLOCATOR_CACHE_PASSING_WORK_H_

#include <atomic>
#include <cstdint>

namespace spanmalloc {

class PassingWork {
 public:
  bool IsDue(uint64_t now_ms) const { return now_ms >= next_ms(); }
  uint64_t next_ms() const { return next_ms_.load(std::memory_order_relaxed); }

  // Whether the caller may begin, due or not: nobody else is at it. Then it calls End.
  bool Begin() {
    // Acquire: pairs with the release in End.
    return !at_it_.load(std::memory_order_relaxed) &&
           !at_it_.exchange(true, std::memory_order_acquire);
  }

  void End() { at_it_.store(false, std::memory_order_release); }

  // When it is due next. Whoever is at it counts from the end of its work, so that there is time
  // for other work between any two times; and from its beginning, so that others don't ask.
  void SetNext(uint64_t ms) { next_ms_.store(ms, std::memory_order_relaxed); }

  void ResetAfterFork() { at_it_.store(false, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> next_ms_{0};
  std::atomic<bool> at_it_{false};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_PASSING_WORK_H_

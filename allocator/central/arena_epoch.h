// SPDX-License-Identifier: Apache-2.0
//
// The time between two resets of an explicit arena: what was allocated in one epoch is nobody's in
// the next. Caches of an arena's objects note the epoch in which they got them, and forget them
// when it is over (cache/thread_state.h); the arena's lists take nothing back that is of an earlier
// one.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_ARENA_EPOCH_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_ARENA_EPOCH_H_

#include <atomic>
#include <cstdint>

namespace spanmalloc {

struct ArenaEpoch {
  // The arena's count of epochs, good for ever; nullptr: an epoch that never ends.
  const std::atomic<uint64_t>* now = nullptr;
  uint64_t then = 0;

  bool IsOver() const { return now != nullptr && now->load(std::memory_order_relaxed) != then; }
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_ARENA_EPOCH_H_

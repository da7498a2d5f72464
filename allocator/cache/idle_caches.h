// SPDX-License-Identifier: Apache-2.0
//
// Takes back what threads cache that sleep. Once a second it looks at the stacks of all threads;
// what lies on those that nobody moved since the last look goes back to its spans, and the thread's
// share of the budget to the others. The background thread calls it.
//
// A hit takes no lock and knows nothing of this, so the stacks of a thread that may wake at any
// moment are taken in steps, each for all caches concerned, with a barrier on every thread of the
// process between them (os/process_barrier.h):
//
//   1. AskBack        visible_ = the empty cache: what the end of a slow path is to store in the
//                     owner's `cache` word
//      barrier        slow paths that begin from now on see that, and take the cache back under the
//                     lock before they use it (UseCache), which ends the matter
//   2. HideFromOwner  depth == 0: no slow path is left that began before the barrier, and none will
//                     store the cache's address any more. Now the owner's `cache` word is set to
//                     the empty cache
//      barrier        operations that begin from now on find the empty cache
//   3. TakeBack       the stacks
//
// In step 3 the owner may be in the middle of one operation, the last that found its cache, for as
// long as it isn't running. That operation pops the top object of one stack, or pushes another one
// on it. So of each stack the top object stays, no slot is written and no top is moved; how many
// objects lay there is noted. When the owner is back, the top has moved by one at most, and
// everything from the object that was left on is its own.
//
// What a thread caches of an explicit arena is a state of its own. Its hits, outside of slow paths,
// read `visible_` itself (ThreadState::MayHit) where others read the `cache` word, so that of those
// too one at most is left after the first barrier.
//
// Between the steps the owner may come at any time; whoever holds the state's lock first has the
// cache. tests/cache/idle_caches_model_test.cc tries all orders.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_IDLE_CACHES_H_
#define SPANMALLOC_ALLOCATOR_CACHE_IDLE_CACHES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/cache/thread_registry.h"

namespace spanmalloc {

// Counts since the start.
struct IdleCachesStats {
  uint64_t caches;   // taken back
  uint64_t objects;  // that were in them
  uint64_t bytes;
};

class IdleCaches {
 public:
  // Between two looks.
  static constexpr uint64_t kLookMs = 1000;
  static constexpr uint64_t kForever = ~uint64_t{0};

  explicit constexpr IdleCaches(ThreadRegistry& registry) : registry_(registry) {}

  // Whether caches are to be taken back.
  void SetWanted(bool wanted) { wanted_ = wanted; }

  // The thread that is going to call Look begins.
  void Begin();

  // The program's threads have been at work since the last look.
  void NoteActivity() { settled_ = false; }

  // Looks, if it is time. Returns for how long there will be nothing to do, if the program stays as
  // it is.
  uint64_t Look(uint64_t now_ms);

  IdleCachesStats Stats() const {
    return {caches_.load(std::memory_order_relaxed), objects_.load(std::memory_order_relaxed),
            bytes_.load(std::memory_order_relaxed)};
  }

 private:
  // Caches taken under one hold of the registry's lock, at most.
  static constexpr size_t kMaxVictims = 64;

  bool MarkIdle() ABSL_LOCKS_EXCLUDED(registry_.lock());
  bool TakeSome() ABSL_LOCKS_EXCLUDED(registry_.lock());

  ThreadRegistry& registry_;
  bool wanted_ = false;
  // The calling thread's alone.
  bool ready_ = false;    // there is a barrier
  bool settled_ = false;  // the last look found all as it was, and nothing to take
  uint64_t next_look_ms_ = 0;
  std::atomic<uint64_t> caches_{0};
  std::atomic<uint64_t> objects_{0};
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_IDLE_CACHES_H_

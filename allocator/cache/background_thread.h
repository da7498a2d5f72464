// SPDX-License-Identifier: Apache-2.0
//
// The background thread: gives memory back while no other thread comes by to do it. As long as the
// program's threads pass through slow paths they give back what is idle, some times a second; this
// thread looks after them, and works when a whole interval went by without any: it lets the release
// policy take its course. (Whether or not, it takes back what threads that sleep have in their
// caches, idle_caches.h, and goes on with a pass through the spans that they began.) When nobody
// came by for half as long as free memory is kept, it gives back all that is free, and sleeps until
// the others are back. Until then it also looks after the memory limits in their place.
//
// It exists only in processes with several threads whose heap has been larger than the few MiB that
// are kept in any case. A slow path of malloc starts it, at its end (the C library allocates to
// start a thread); it ends with the last thread that has a cache, since a process whose main thread
// has ended lasts as long as any thread.
//
// This is the part that knows no operating system: the entry points' floor starts the thread, which
// calls Step and Sleep in turns. Takes no lock of its own.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_BACKGROUND_THREAD_H_
#define SPANMALLOC_ALLOCATOR_CACHE_BACKGROUND_THREAD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/cache/idle_caches.h"
#include "allocator/cache/memory_limits.h"
#include "allocator/cache/thread_registry.h"
#include "allocator/central/per_cpu_central.h"
#include "allocator/heap/node_heaps.h"
#include "allocator/os/clock.h"
#include "allocator/os/thread.h"

namespace spanmalloc {

struct BackgroundThreadStats {
  size_t threads;        // 1 while it exists
  uint64_t runs;         // how often it woke
  uint64_t interval_ns;  // for how long it slept before, on average
};

class BackgroundThread {
 public:
  // It looks at the time's multiples of this, at which the release policy's windows end too.
  static constexpr uint64_t kIntervalMs = 250;
  static constexpr uint64_t kForever = os::Sleeper::kForever;

  constexpr BackgroundThread(NodeHeaps& page_heap, PerCpuCentral& central, ThreadRegistry& registry,
                             MemoryLimits& limits, os::Clock& clock)
      : page_heap_(page_heap),
        central_(central),
        registry_(registry),
        limits_(limits),
        idle_caches_(registry),
        clock_(clock) {}

  // Whether there may be such a thread. One that exists ends soon after it is disabled.
  void SetEnabled(bool enabled);
  // The program itself wants it, or not: then it is also for a single thread.
  void Request(bool enabled) {
    requested_.store(enabled, std::memory_order_relaxed);
    SetEnabled(enabled);
  }
  bool enabled() const { return enabled_.load(std::memory_order_relaxed); }
  // Whether it exists, or is being started.
  bool running() const { return running_.load(std::memory_order_relaxed); }

  // A slow path has just given back what is idle.
  void NoteActivity();

  // Whether it is to be started. Reads a few variables.
  bool wanted() const {
    return !running() && (registry_.threads() > 1 || requested_.load(std::memory_order_relaxed)) &&
           page_heap_.HasExceededFloor() && enabled() && !refused_.load(std::memory_order_relaxed);
  }

  // Makes the caller, if true, the one who starts it; it then counts as running.
  bool Claim();

  // The kernel or the C library refused it: it isn't tried again, until it is enabled again or in a
  // forked child.
  void NoteRefused();

  // A thread's cache is gone.
  void NoteThreadEnded() {
    if (registry_.threads() == 0 && running()) sleeper_.Wake();
  }

  // What the thread does whenever it wakes. False: it is to end. Else `*sleep_ms` tells for how
  // long it is to sleep now.
  bool Step(uint64_t* sleep_ms);
  void Sleep(uint64_t ms) { sleeper_.Sleep(ms); }

  BackgroundThreadStats Stats() const;

  IdleCaches& idle_caches() { return idle_caches_; }
  const IdleCaches& idle_caches() const { return idle_caches_; }

  // In a forked child, which doesn't have the thread.
  void ResetAfterFork();

 private:
  // `seen_`
  enum : int {
    kQuiet,   // no slow path since the last step
    kActive,  // some
    kAsleep,  // as kQuiet, and the thread is to be woken
  };
  // More than slow paths let pass between two calls of NoteActivity: less isn't quiet.
  static constexpr uint64_t kMinSleepMs = 100;
  // What is released inside spans at one step while the program runs: 5 to 10 milliseconds' work.
  static constexpr int kPassesWhileActive = 32;

  uint64_t DoQuietStep(uint64_t now);
  uint64_t UntilNextCheck(uint64_t now, uint64_t rest) const;
  uint64_t ReleaseIdle(uint64_t now);

  NodeHeaps& page_heap_;
  PerCpuCentral& central_;
  ThreadRegistry& registry_;
  MemoryLimits& limits_;
  IdleCaches idle_caches_;
  os::Clock& clock_;
  os::Sleeper sleeper_;
  std::atomic<bool> enabled_{false};
  std::atomic<bool> requested_{false};
  std::atomic<bool> refused_{false};
  std::atomic<bool> running_{false};
  std::atomic<int> seen_{kQuiet};
  std::atomic<uint64_t> runs_{0};
  std::atomic<uint64_t> slept_ms_{0};
  // The thread's alone.
  uint64_t asleep_since_ms_ = 0;
  uint32_t quiet_steps_ = 0;
  uint64_t quiet_since_ms_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_BACKGROUND_THREAD_H_

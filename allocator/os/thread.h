// SPDX-License-Identifier: Apache-2.0
//
// Being told when a thread ends and when the process forks, and a thread of the allocator's own.
// The runtime registers once; only StartThread allocates (glibc keeps the first 32 keys and the
// first 48 fork handlers in static storage).
#ifndef SPANMALLOC_ALLOCATOR_OS_THREAD_H_
#define SPANMALLOC_ALLOCATOR_OS_THREAD_H_

#include <atomic>
#include <cstdint>

namespace spanmalloc::os {

// A hook that runs on a thread that ends, if the thread armed it with a value.
class ThreadExitHook {
 public:
  constexpr ThreadExitHook() = default;
  // False if the process has no key left; threads' caches then aren't returned when they end.
  bool Create(void (*on_exit)(void* value));
  // Makes the hook run with `value` (not null) when the calling thread ends.
  void Arm(void* value);
  bool created() const { return created_; }

 private:
  unsigned key_ = 0;
  bool created_ = false;
};

// Runs `prepare` before fork() in the parent, `parent` and `child` after it. Handlers registered
// later run nearer to the outside, so the earliest registration holds its locks the shortest.
void RegisterForkHandlers(void (*prepare)(), void (*parent)(), void (*child)());

// Runs `run` on a new thread: detached, with a small stack, all signals blocked, named
// "spanmalloc". False if the process gets none. The C library allocates and locks meanwhile: call
// it with no lock held, and not from inside free, which the C library calls with a lock of its
// threads held.
bool StartThread(void (*run)());

// One thread's sleep, which others may end.
class Sleeper {
 public:
  static constexpr uint64_t kForever = ~uint64_t{0};

  constexpr Sleeper() = default;
  // Sleeps for `ms`, or until Wake; not at all if that came since the last sleep.
  void Sleep(uint64_t ms);
  void Wake();
  // Forgets a Wake. Requires: nobody sleeps.
  void Reset() { woken_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> woken_{0};
};

// Lets other threads run.
void Yield();

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_THREAD_H_

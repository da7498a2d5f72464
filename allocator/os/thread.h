// SPDX-License-Identifier: Apache-2.0
//
// Being told when a thread ends and when the process forks. The runtime registers once; nothing
// here allocates (glibc keeps the first 32 keys and the first 48 fork handlers in static storage).
#ifndef SPANMALLOC_ALLOCATOR_OS_THREAD_H_
#define SPANMALLOC_ALLOCATOR_OS_THREAD_H_

namespace spanmalloc::os {

// A hook that runs on a thread that ends, if the thread armed it with a value.
class ThreadExitHook {
 public:
  constexpr ThreadExitHook() = default;
  // False if the process has no key left; threads' caches then aren't returned when they end.
  bool Create(void (*on_exit)(void* value));
  // Makes the hook run with `value` (not null) when the calling thread ends.
  void Arm(void* value);

 private:
  unsigned key_ = 0;
  bool created_ = false;
};

// Runs `prepare` before fork() in the parent, `parent` and `child` after it. Handlers registered
// later run nearer to the outside, so the earliest registration holds its locks the shortest.
void RegisterForkHandlers(void (*prepare)(), void (*parent)(), void (*child)());

// Lets other threads run.
void Yield();

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_THREAD_H_

// SPDX-License-Identifier: Apache-2.0
//
// pthreads and a futex for thread.h.
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include "allocator/os/clock.h"
#include "allocator/os/system_call.h"
#include "allocator/os/thread.h"

namespace spanmalloc::os {
namespace {

constexpr size_t kStackBytes = 64 * 1024;

void* RunNamed(void* run) {
  SystemCall(SYS_prctl, PR_SET_NAME, AsArgument("spanmalloc"));
  reinterpret_cast<void (*)()>(run)();
  return nullptr;
}

// 0 for `stack_bytes`: the C library's default. Returns an errno number.
int CreateDetached(size_t stack_bytes, void (*run)()) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  if (stack_bytes != 0) pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, &RunNamed, reinterpret_cast<void*>(run));
  pthread_attr_destroy(&attributes);
  return error;
}

}  // namespace

bool ThreadExitHook::Create(void (*on_exit)(void* value)) {
  pthread_key_t key;
  created_ = pthread_key_create(&key, on_exit) == 0;
  key_ = key;
  return created_;
}

void ThreadExitHook::Arm(void* value) {
  if (created_) pthread_setspecific(key_, value);
}

void RegisterForkHandlers(void (*prepare)(), void (*parent)(), void (*child)()) {
  pthread_atfork(prepare, parent, child);
}

bool StartThread(void (*run)()) {
  const int saved_errno = errno;
  // The new thread inherits the mask. All but the two signals that the C library needs.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = CreateDetached(kStackBytes, run);
  // The program's thread-local variables, which lie on the stack, leave too little of it.
  if (error == EINVAL) error = CreateDetached(0, run);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = saved_errno;
  return error == 0;
}

void Sleeper::Sleep(uint64_t ms) {
  const uint64_t end_ns = MonotonicNs() + (ms == kForever ? 0 : ms * 1000000);
  const timespec end = {static_cast<time_t>(end_ns / 1000000000),
                        static_cast<long>(end_ns % 1000000000)};
  // Acquire: pairs with the release in Wake.
  while (woken_.exchange(0, std::memory_order_acquire) == 0) {
    const long result =
        SystemCall(SYS_futex, AsArgument(&woken_), FUTEX_WAIT_BITSET_PRIVATE, 0,
                   ms == kForever ? 0 : AsArgument(&end), 0, FUTEX_BITSET_MATCH_ANY);
    if (result == -ETIMEDOUT) return;
  }
}

void Sleeper::Wake() {
  // Release: pairs with the acquire in Sleep.
  woken_.store(1, std::memory_order_release);
  SystemCall(SYS_futex, AsArgument(&woken_), FUTEX_WAKE_PRIVATE, 1);
}

void Yield() { SystemCall(SYS_sched_yield); }

}  // namespace spanmalloc::os

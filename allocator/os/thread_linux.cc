// SPDX-License-Identifier: Apache-2.0
//
// pthread keys and pthread_atfork for thread.h.
#include <pthread.h>

#include "allocator/os/system_call.h"
#include "allocator/os/thread.h"

namespace spanmalloc::os {

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

void Yield() { SystemCall(SYS_sched_yield); }

}  // namespace spanmalloc::os

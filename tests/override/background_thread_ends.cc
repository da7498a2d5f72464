// SPDX-License-Identifier: Apache-2.0
//
// The allocator's thread neither keeps a process alive nor disturbs its end: a process whose main
// thread has ended goes with its last own thread; exit works while the thread runs; mallctl ends
// the thread and lets it come again.

#include <dlfcn.h>
#include <sys/wait.h>

#include <atomic>
#include <initializer_list>

#include "tests/override/idle_process.h"

namespace {

int (*mallctl)(const char*, void*, size_t*, void*, size_t);

pthread_t main_thread;
std::atomic<bool> started{false};

void* OutliveMain(void*) {
  idle_process::BurstAndDrop();
  CHECK(idle_process::AllocatorsThreadsBecome(1), "no thread of the allocator");
  started = true;
  pthread_join(main_thread, nullptr);
  idle_process::ExpectIdleToShrink("after main");
  return nullptr;
}

[[noreturn]] void EndWithTheLastThread() {
  main_thread = pthread_self();
  pthread_t thread;
  free(malloc(100));
  CHECK(pthread_create(&thread, nullptr, OutliveMain, nullptr) == 0, "cannot start a thread");
  while (!started) usleep(1000);
  pthread_exit(nullptr);
}

[[noreturn]] void ExitWhileItRuns() {
  idle_process::StartIdleThread();
  idle_process::BurstAndDrop();
  exit(0);
}

void Enable(bool enabled) {
  bool before = !enabled;
  size_t size = 1;
  CHECK(mallctl("background_thread", &before, &size, &enabled, 1) == 0, "mallctl failed");
  CHECK(before != enabled, "mallctl reads what it wrote");
}

[[noreturn]] void TurnOffAndOn() {
  mallctl = reinterpret_cast<decltype(mallctl)>(dlsym(RTLD_DEFAULT, "mallctl"));
  if (mallctl == nullptr) _exit(0);
  idle_process::StartIdleThread();
  idle_process::BurstAndDrop();
  CHECK(idle_process::AllocatorsThreadsBecome(1), "no thread of the allocator");
  Enable(false);
  CHECK(idle_process::AllocatorsThreadsBecome(0), "it doesn't end");
  idle_process::BurstAndDrop();
  CHECK(idle_process::CountThreads().all == 2, "it came again");
  Enable(true);
  idle_process::ExpectIdleToShrink("turned on again");
  exit(0);
}

}  // namespace

int main() {
  for (auto live : {&EndWithTheLastThread, &ExitWhileItRuns, &TurnOffAndOn}) {
    pid_t child = fork();
    CHECK(child >= 0, "cannot fork");
    if (child == 0) {
      alarm(60);
      live();
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(status == 0, "status %#x", status);
  }
  return 0;
}

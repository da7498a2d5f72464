// SPDX-License-Identifier: Apache-2.0
//
// Children forked from a process whose threads are busy, and which has the allocator's thread: they
// have none, get their own when they have threads, and give memory back when they go idle.

#include <sys/wait.h>

#include <atomic>

#include "tests/override/idle_process.h"

namespace {

std::atomic<bool> stop{false};

void* Busy(void*) {
  void* own[64] = {};
  for (unsigned i = 0; !stop; ++i) {
    free(own[i % 64]);
    own[i % 64] = malloc(1 + i * 37 % 40000);
  }
  for (void* block : own) free(block);
  return nullptr;
}

[[noreturn]] void LiveAsChild() {
  alarm(100);
  CHECK(idle_process::CountThreads().all == 1, "the child starts with threads");
  idle_process::StartIdleThread();
  idle_process::ExpectIdleToShrink("in the child");
  CHECK(idle_process::AllocatorsThreadsBecome(1), "the child has no thread of the allocator");
  _exit(0);
}

}  // namespace

int main() {
  pthread_t threads[2];
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Busy, nullptr) == 0, "cannot start a thread");
  }
  idle_process::BurstAndDrop();
  CHECK(idle_process::AllocatorsThreadsBecome(1), "no thread of the allocator");
  for (int round = 0; round < 3; ++round) {
    pid_t child = fork();
    CHECK(child >= 0, "cannot fork");
    if (child == 0) LiveAsChild();
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(status == 0, "child: status %#x", status);
  }
  stop = true;
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  return 0;
}

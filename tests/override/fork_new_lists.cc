// SPDX-License-Identifier: Apache-2.0
//
// fork while other threads wait to make lists, those of arenas that nobody used yet: what the
// parent unlocks afterwards is what it locked before. A debug build tells at once if it isn't.

#include <pthread.h>
#include <sys/wait.h>

#include <atomic>

#include "tests/override/arenas.h"

namespace {

// Their locks are what a fork is long about.
constexpr int kOldArenas = 300;
constexpr int kNewArenas = 10;

std::atomic<bool> stop{false};
std::atomic<unsigned> newest{0};

// Makes a list of most size classes.
void UseAll(unsigned arena) {
  for (size_t size = 16; size <= 2048; size += 16) {
    void* block = arenas::Mallocx(size, arenas::In(arena));
    CHECK(block != nullptr, "mallocx(%zu) failed", size);
    free(block);
  }
}

void* UseNewest(void*) {
  unsigned used = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    const unsigned arena = newest.load(std::memory_order_relaxed);
    if (arena != used) UseAll(arena);
    used = arena;
  }
  return nullptr;
}

}  // namespace

int main() {
  for (int i = 0; i < kOldArenas; ++i) UseAll(arenas::Create());
  pthread_t threads[3];
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, UseNewest, nullptr) == 0, "cannot start a thread");
  }
  for (int i = 0; i < kNewArenas; ++i) {
    newest.store(arenas::Create(), std::memory_order_relaxed);
    for (int k = 0; k < 2; ++k) {
      const pid_t child = fork();
      CHECK(child >= 0, "cannot fork");
      if (child == 0) {
        UseAll(newest.load(std::memory_order_relaxed));
        _exit(0);
      }
      int status = 0;
      waitpid(child, &status, 0);
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child: status %#x", status);
    }
  }
  stop.store(true, std::memory_order_relaxed);
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  return 0;
}

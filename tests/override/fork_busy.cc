// SPDX-License-Identifier: Apache-2.0
//
// fork while four threads allocate and free without pause: each child finds every lock free and a
// consistent heap, frees blocks of threads that do not exist in it, starts threads, forks again.

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>

#include "tests/override/check.h"

namespace {

std::atomic<bool> stop{false};
constexpr int kShared = 256;
std::atomic<char*> shared[kShared];  // blocks of all threads, whole at any moment

void Exercise(uint64_t seed, int steps) {
  uint64_t random = seed;
  for (int i = 0; i < steps && !stop.load(std::memory_order_relaxed); ++i) {
    size_t size = 1 + check::Random(&random) % (check::Random(&random) % 100 ? 2000 : 500000);
    char* block = static_cast<char*>(malloc(size));
    CHECK(block != nullptr, "malloc(%zu) failed", size);
    block[0] = block[size - 1] = 1;
    free(shared[check::Random(&random) % kShared].exchange(block));
  }
}

void* Busy(void* argument) {
  Exercise(reinterpret_cast<uintptr_t>(argument), 1 << 30);
  return nullptr;
}

void* Brief(void* argument) {
  Exercise(reinterpret_cast<uintptr_t>(argument), 300);
  return nullptr;
}

[[noreturn]] void LiveAsChild(int depth) {
  alarm(20);  // a deadlock becomes a death
  Exercise(77, 2000);
  pthread_t thread;
  CHECK(pthread_create(&thread, nullptr, Brief, reinterpret_cast<void*>(uintptr_t{5})) == 0,
        "no thread in the child");
  if (depth > 0) {
    pid_t grandchild = fork();
    CHECK(grandchild >= 0, "the child cannot fork");
    if (grandchild == 0) LiveAsChild(depth - 1);
    int status = 0;
    waitpid(grandchild, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "grandchild: status %#x", status);
  }
  pthread_join(thread, nullptr);
  for (auto& block : shared) free(block.exchange(nullptr));
  _exit(0);
}

}  // namespace

int main() {
  pthread_t threads[4];
  uintptr_t seed = 1;
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Busy, reinterpret_cast<void*>(seed++)) == 0,
          "cannot start a thread");
  }
  for (int round = 0; round < 150; ++round) {
    pid_t child = fork();
    CHECK(child >= 0, "cannot fork");
    if (child == 0) LiveAsChild(round % 3 == 0);
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(!WIFSIGNALED(status), "round %d: child killed by signal %d", round, WTERMSIG(status));
    CHECK(WEXITSTATUS(status) == 0, "round %d: child status %d", round, WEXITSTATUS(status));
  }
  stop = true;
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  return 0;
}

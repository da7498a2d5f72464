// SPDX-License-Identifier: Apache-2.0
//
// Threads live at the hard limit while another forks: parent and children go on, each with the
// limit, and a child may have another one.

#include <pthread.h>
#include <sys/wait.h>

#include "tests/override/check.h"
#include "tests/override/limits.h"

namespace {

constexpr size_t kLimit = 48u << 20;
volatile bool done = false;

// Takes blocks until there are no more, and frees them.
void* Work(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  static thread_local void* blocks[3000];
  size_t failed = 0;
  while (!done) {
    for (void*& block : blocks) {
      const size_t size = size_t{16} << (check::Random(&random) % 14);
      block = malloc(size);
      if (block != nullptr) memset(block, 1, size);
      failed += block == nullptr;
    }
    for (void* block : blocks) free(block);
  }
  return reinterpret_cast<void*>(failed);
}

int RunChild() {
  alarm(30);
  void* block = malloc(2 * kLimit);
  if (block != nullptr) return 1;
  check::SetLimit("spanmalloc.limit.hard", 8 * kLimit);
  block = malloc(2 * kLimit);
  if (block == nullptr) return 2;
  memset(block, 1, 2 * kLimit);
  free(block);
  check::SetLimit("spanmalloc.limit.soft", kLimit / 8);
  return check::Statistic("stats.resident") < kLimit + (8u << 20) ? 0 : 3;
}

}  // namespace

int main() {
  check::SetLimit("spanmalloc.limit.hard", kLimit);
  check::SetLimit("spanmalloc.limit.soft", kLimit / 2);
  pthread_t threads[3];
  uintptr_t seed = 0;
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Work, reinterpret_cast<void*>(++seed)) == 0,
          "cannot start a thread");
  }
  for (int i = 0; i < 15; ++i) {
    const pid_t child = fork();
    CHECK(child >= 0, "cannot fork");
    if (child == 0) _exit(RunChild());
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d ended with %x", i, status);
  }
  done = true;
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  CHECK(check::Statistic("spanmalloc.limit.refusals") > 0, "the limit was never reached");
  return 0;
}

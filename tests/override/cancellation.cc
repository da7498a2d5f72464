// SPDX-License-Identifier: Apache-2.0
//
// Threads are cancelled while they allocate (deferred cancellation: the allocator has no
// cancellation point of its own): blocks held by cleanup handlers are freed, locks are not left
// behind, and caches of cancelled threads come back.

#include <pthread.h>

#include <atomic>

#include "tests/override/check.h"

namespace {

std::atomic<int> cleanups{0};

void FreeBlock(void* slot) {
  free(*static_cast<void**>(slot));
  *static_cast<void**>(slot) = nullptr;
  cleanups.fetch_add(1);
}

void* Work(void*) {
  void* kept = malloc(100000);
  memset(kept, 1, 100000);
  pthread_cleanup_push(FreeBlock, &kept);
  for (uint64_t random = 1;;) {
    size_t size = 1 + check::Random(&random) % 60000;
    char* block = static_cast<char*>(malloc(size));
    CHECK(block != nullptr, "malloc(%zu) failed", size);
    block[0] = block[size - 1] = 1;
    free(block);
    pthread_testcancel();
  }
  pthread_cleanup_pop(1);
  return nullptr;
}

}  // namespace

int main() {
  size_t before = 0;
  constexpr int kRounds = 500;
  for (int round = 0; round < kRounds; ++round) {
    pthread_t threads[2];
    for (pthread_t& thread : threads) {
      CHECK(pthread_create(&thread, nullptr, Work, nullptr) == 0, "cannot start a thread");
    }
    usleep(round % 10 * 50);
    for (pthread_t thread : threads) pthread_cancel(thread);
    for (pthread_t thread : threads) {
      void* result = nullptr;
      pthread_join(thread, &result);
      CHECK(result == PTHREAD_CANCELED, "the thread was not cancelled");
    }
    if (round == 100) before = check::ResidentBytes();
  }
  CHECK(cleanups.load() <= 2 * kRounds, "a cleanup ran twice");
  size_t after = check::ResidentBytes();
  CHECK(after < before + (16u << 20), "resident memory grew from %zu to %zu", before, after);
  return 0;
}

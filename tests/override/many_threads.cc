// SPDX-License-Identifier: Apache-2.0
//
// Two thousand threads are alive at once, each with a cache of its own: all are served, the memory
// per thread stays small, and all of it comes back.

#include <pthread.h>

#include "tests/override/check.h"

namespace {

constexpr int kThreads = 2000;
pthread_barrier_t all_started;
pthread_barrier_t all_measured;

void* Live(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  void* blocks[50];
  for (void*& block : blocks) {
    size_t size = 1 + check::Random(&random) % 500;
    block = malloc(size);
    CHECK(block != nullptr, "malloc(%zu) failed", size);
    memset(block, 1, size);
  }
  for (void* block : blocks) free(block);
  pthread_barrier_wait(&all_started);
  pthread_barrier_wait(&all_measured);
  free(malloc(5000));
  return nullptr;
}

}  // namespace

int main() {
  pthread_barrier_init(&all_started, nullptr, kThreads + 1);
  pthread_barrier_init(&all_measured, nullptr, kThreads + 1);
  static pthread_t threads[kThreads];
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  for (int i = 0; i < kThreads; ++i) {
    if (pthread_create(&threads[i], &attributes, Live,
                       reinterpret_cast<void*>(static_cast<uintptr_t>(i))) != 0) {
      SKIP("the system gives only %d threads", i);
    }
  }
  pthread_barrier_wait(&all_started);
  size_t resident = check::ResidentBytes();
  pthread_barrier_wait(&all_measured);
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  // 16 KiB of it are the stack and the C library's own.
  CHECK(resident < kThreads * (size_t{112} << 10), "%zu KiB resident for each thread",
        (resident >> 10) / kThreads);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Threads that sleep with full caches: these are taken back, and the threads find every block as
// they left it when they wake, and none that another has. Twice.

#include <dlfcn.h>
#include <pthread.h>

#include "tests/override/check.h"
#include "tests/override/limits.h"

namespace {

constexpr int kThreads = 6;
constexpr int kBlocks = 3000;
constexpr int kKept = 100;

pthread_barrier_t barrier;

uint64_t Taken() { return check::Statistic("spanmalloc.idle_caches.taken"); }

size_t SizeOf(int i) { return 200 + static_cast<size_t>(i % 7) * 150; }

void Burst(char** blocks, int thread) {
  for (int i = kKept; i < kBlocks; ++i) {
    blocks[i] = static_cast<char*>(malloc(SizeOf(i)));
    memset(blocks[i], thread + 1, SizeOf(i));
  }
  for (int i = 0; i < kBlocks; ++i) {
    for (size_t j = 0; j < SizeOf(i); ++j) {
      CHECK(blocks[i][j] == thread + 1, "a block isn't this thread's alone");
    }
  }
  for (int i = kKept; i < kBlocks; ++i) free(blocks[i]);
}

void* Work(void* argument) {
  const int thread = static_cast<int>(reinterpret_cast<intptr_t>(argument));
  static char* all[kThreads][kBlocks];
  char** blocks = all[thread];
  for (int i = 0; i < kKept; ++i) {
    blocks[i] = static_cast<char*>(malloc(SizeOf(i)));
    memset(blocks[i], thread + 1, SizeOf(i));
  }
  for (int round = 0; round < 3; ++round) {
    Burst(blocks, thread);
    pthread_barrier_wait(&barrier);  // sleeps
    pthread_barrier_wait(&barrier);
  }
  return nullptr;
}

}  // namespace

int main() {
  alarm(120);
  CHECK(dlsym(RTLD_DEFAULT, "mallctl") != nullptr, "no mallctl");
  pthread_barrier_init(&barrier, nullptr, kThreads + 1);
  free(malloc(size_t{16} << 20));
  pthread_t threads[kThreads];
  for (intptr_t i = 0; i < kThreads; ++i) {
    CHECK(pthread_create(&threads[i], nullptr, Work, reinterpret_cast<void*>(i)) == 0,
          "cannot start a thread");
  }
  for (int round = 0; round < 3; ++round) {
    pthread_barrier_wait(&barrier);
    const uint64_t before = Taken();
    // The last time the process ends while they are taken.
    for (int i = 0; round < 2 && i < 600 && Taken() < before + kThreads / 2; ++i) usleep(50000);
    CHECK(round == 2 || Taken() >= before + kThreads / 2, "no cache was taken back");
    pthread_barrier_wait(&barrier);
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  return 0;
}

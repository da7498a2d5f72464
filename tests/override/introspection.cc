// SPDX-License-Identifier: Apache-2.0
//
// Threads ask for statistics, trim and change options while others allocate: no deadlock, no
// crash, contents whole, and the numbers cover what this program is holding.

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>

#include <atomic>

#include "tests/override/check.h"

namespace {

using Mallctl = int (*)(const char*, void*, size_t*, void*, size_t);
using Print = void (*)(void (*)(void*, const char*), void*, const char*);
Mallctl mallctl;           // null if the library lacks it
Print malloc_stats_print;  // null if the library lacks it
std::atomic<bool> stop{false};
FILE* nowhere;

void Discard(void*, const char*) {}

void* Ask(void*) {
  for (int round = 0; round < 200; ++round) {
    volatile struct mallinfo2 info = mallinfo2();
    (void)info;
    malloc_trim(static_cast<size_t>(round) * 4096);
    malloc_info(0, nowhere);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    if (round % 20 == 0) malloc_stats();
    if (mallctl != nullptr) {
      uint64_t epoch = 1;
      size_t size = sizeof(epoch);
      CHECK(mallctl("epoch", &epoch, &size, &epoch, size) == 0, "mallctl epoch failed");
      size_t allocated = 0;
      size = sizeof(allocated);
      CHECK(mallctl("stats.allocated", &allocated, &size, nullptr, 0) == 0, "stats.allocated");
      CHECK(allocated > 0, "stats.allocated is 0");
      mallctl("thread.tcache.flush", nullptr, nullptr, nullptr, 0);
      mallctl("arena.0.purge", nullptr, nullptr, nullptr, 0);
    }
    if (malloc_stats_print != nullptr && round % 20 == 0) {
      malloc_stats_print(Discard, nullptr, round % 40 == 0 ? "J" : nullptr);
    }
  }
  return nullptr;
}

void* Allocate(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  constexpr int kBlocks = 1000;
  void* blocks[kBlocks] = {};
  size_t sizes[kBlocks] = {};
  while (!stop.load()) {
    uint32_t i = check::Random(&random) % kBlocks;
    CHECK(check::Holds(blocks[i], sizes[i], i), "a block of %zu changed", sizes[i]);
    free(blocks[i]);
    sizes[i] = check::Random(&random) % (check::Random(&random) % 100 ? 2000 : 300000);
    blocks[i] = malloc(sizes[i]);
    CHECK(blocks[i] != nullptr, "malloc(%zu) failed", sizes[i]);
    check::Fill(blocks[i], sizes[i], i);
  }
  for (void* block : blocks) free(block);
  return nullptr;
}

}  // namespace

int main() {
  // malloc_stats writes to stderr.
  CHECK(freopen("/dev/null", "w", stderr) != nullptr, "cannot open /dev/null");
  nowhere = fopen("/dev/null", "w");
  mallctl = reinterpret_cast<Mallctl>(dlsym(RTLD_DEFAULT, "mallctl"));
  malloc_stats_print = reinterpret_cast<Print>(dlsym(RTLD_DEFAULT, "malloc_stats_print"));
  pthread_t threads[4];
  for (uintptr_t i = 0; i < 4; ++i) {
    CHECK(pthread_create(&threads[i], nullptr, i < 2 ? Allocate : Ask,
                         reinterpret_cast<void*>(i + 1)) == 0,
          "cannot start a thread");
  }
  pthread_join(threads[2], nullptr);
  pthread_join(threads[3], nullptr);
  stop = true;
  pthread_join(threads[0], nullptr);
  pthread_join(threads[1], nullptr);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// What the programs about idle processes share: a burst of blocks, most of which are dropped, and
// a look at the process's threads and resident memory while it does nothing.

#ifndef SPANMALLOC_TESTS_OVERRIDE_IDLE_PROCESS_H_
#define SPANMALLOC_TESTS_OVERRIDE_IDLE_PROCESS_H_

#include <dirent.h>
#include <pthread.h>

#include <atomic>

#include "tests/override/check.h"

namespace idle_process {

constexpr int kBlocks = 12000;
constexpr size_t kBlockBytes = 16000;
constexpr size_t kBurstBytes = kBlocks * kBlockBytes;
inline void* blocks[kBlocks];

// Allocates all blocks, then frees all but one in twenty.
inline void BurstAndDrop() {
  for (void*& block : blocks) {
    if (block != nullptr) continue;
    block = malloc(kBlockBytes);
    CHECK(block != nullptr, "no memory for the burst");
    memset(block, 1, kBlockBytes);
  }
  for (int i = 0; i < kBlocks; ++i) {
    if (i % 20 == 0) continue;
    free(blocks[i]);
    blocks[i] = nullptr;
  }
}

// Sleeps until the process has at most `bytes` resident. That takes two seconds; a loaded machine
// is given more. Returns whether it came to that. Allocates nothing.
inline bool ShrinksTo(size_t bytes) {
  for (int i = 0; i < 400; ++i) {
    if (check::ResidentBytes() <= bytes) return true;
    usleep(50000);
  }
  return false;
}

// The burst, and then an idle process: most of the burst's memory goes back.
inline void ExpectIdleToShrink(const char* when) {
  BurstAndDrop();
  const size_t full = check::ResidentBytes();
  CHECK(ShrinksTo(full - kBurstBytes * 3 / 4), "%s: still %zu of %zu MiB resident", when,
        check::ResidentBytes() >> 20, full >> 20);
}

// The number of threads of this process, and how many of them are the allocator's.
struct Threads {
  int all = 0;
  int allocators = 0;
};

inline Threads CountThreads() {
  Threads threads;
  DIR* tasks = opendir("/proc/self/task");
  CHECK(tasks != nullptr, "cannot list threads");
  while (dirent* task = readdir(tasks)) {
    if (task->d_name[0] == '.') continue;
    ++threads.all;
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", task->d_name);
    char name[32] = {};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 && strcmp(name, "spanmalloc\n") == 0) {
      ++threads.allocators;
    }
    close(fd);
  }
  closedir(tasks);
  return threads;
}

// Whether, soon, `count` threads are the allocator's.
inline bool AllocatorsThreadsBecome(int count) {
  for (int i = 0; i < 400; ++i) {
    if (CountThreads().allocators == count) return true;
    usleep(50000);
  }
  return false;
}

inline void* AllocateOnceAndPause(void* has_allocated) {
  free(malloc(100));
  *static_cast<std::atomic<bool>*>(has_allocated) = true;
  for (;;) pause();
  return nullptr;
}

// A second thread, which has allocated.
inline void StartIdleThread() {
  pthread_t thread;
  std::atomic<bool> has_allocated{false};
  CHECK(pthread_create(&thread, nullptr, AllocateOnceAndPause, &has_allocated) == 0,
        "cannot start a thread");
  while (!has_allocated) usleep(1000);
}

}  // namespace idle_process

#endif  // SPANMALLOC_TESTS_OVERRIDE_IDLE_PROCESS_H_

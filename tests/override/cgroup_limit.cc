// SPDX-License-Identifier: Apache-2.0
//
// Inside a cgroup with a memory limit of 128 MiB the program works through many times that amount,
// a small part alive at a time, in changing sizes and threads, and is not killed.

#include <pthread.h>

#include "tests/override/cgroup.h"
#include "tests/override/check.h"

namespace {

void* Work(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  // Each round keeps 20 MiB of one size and frees it: 2 GiB in all.
  for (int round = 0; round < 50; ++round) {
    size_t size = size_t{48} << (check::Random(&random) % 16);
    size_t count = (20u << 20) / size;
    void** last = nullptr;
    for (size_t i = 0; i < count; ++i) {
      void** block = static_cast<void**>(malloc(size));
      CHECK(block != nullptr, "malloc(%zu) failed in the cgroup", size);
      memset(block, 1, size);
      *block = last;
      last = block;
    }
    while (last != nullptr) {
      void** next = static_cast<void**>(*last);
      free(last);
      last = next;
    }
  }
  return nullptr;
}

int RunInside() {
  for (int generation = 0; generation < 3; ++generation) {
    pthread_t threads[2];
    uintptr_t seed = static_cast<uintptr_t>(generation) * 2;
    for (pthread_t& thread : threads) {
      CHECK(pthread_create(&thread, nullptr, Work, reinterpret_cast<void*>(++seed)) == 0,
            "cannot start a thread");
    }
    for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return RunInside();
  const check::Cgroup group("memory");
  group.LimitMemory("134217728\n");
  return group.RunInside(argv[0]);
}

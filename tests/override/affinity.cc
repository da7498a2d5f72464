// SPDX-License-Identifier: Apache-2.0
//
// Threads are moved from CPU to CPU, and the set of allowed CPUs shrinks to one and grows again,
// while they allocate and free each other's blocks.

#include <pthread.h>
#include <sched.h>

#include <atomic>

#include "tests/override/check.h"

namespace {

cpu_set_t allowed;
constexpr int kSlots = 1000;
std::atomic<unsigned char*> slots[kSlots];

void Pin(int index) {
  cpu_set_t one;
  CPU_ZERO(&one);
  int wanted = index % CPU_COUNT(&allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && wanted-- == 0) CPU_SET(cpu, &one);
  }
  CHECK(sched_setaffinity(0, sizeof(one), &one) == 0, "cannot pin to a CPU");
}

void* Work(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  for (int round = 0; round < 200; ++round) {
    if (round % 5 == 4) {
      sched_setaffinity(0, sizeof(allowed), &allowed);
    } else {
      Pin(static_cast<int>(check::Random(&random) % 1024));
    }
    for (int i = 0; i < 2000; ++i) {
      size_t size = 2 + check::Random(&random) % 3000;
      auto* block = static_cast<unsigned char*>(malloc(size));
      CHECK(block != nullptr, "malloc(%zu) failed", size);
      block[0] = block[1] = static_cast<unsigned char>(i);
      block = slots[check::Random(&random) % kSlots].exchange(block);
      CHECK(block == nullptr || block[0] == block[1], "a block changed");
      free(block);
    }
  }
  return nullptr;
}

}  // namespace

int main() {
  CHECK(sched_getaffinity(0, sizeof(allowed), &allowed) == 0, "cannot read the affinity");
  Pin(0);
  free(malloc(100));
  pthread_t threads[4];
  uintptr_t seed = 1;
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Work, reinterpret_cast<void*>(seed++)) == 0,
          "cannot start a thread");
  }
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  for (auto& slot : slots) free(slot.load());
  return 0;
}

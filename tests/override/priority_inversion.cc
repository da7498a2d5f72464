// SPDX-License-Identifier: Apache-2.0
//
// A real-time thread (SCHED_FIFO) and ordinary threads share one CPU and one heap: if the real-time
// one spins for a lock whose owner cannot run, it never ends. It must get through its work.

#include <pthread.h>
#include <sched.h>

#include <atomic>

#include "tests/override/check.h"

namespace {

std::atomic<bool> stop{false};
constexpr int kSlots = 64;
std::atomic<void*> slots[kSlots];

void Exercise(uint64_t* random) {
  // Sizes of runs of pages and objects of other threads: the paths that take locks.
  size_t size = 1 + check::Random(random) % (check::Random(random) % 2 ? 300000 : 3000);
  char* block = static_cast<char*>(malloc(size));
  CHECK(block != nullptr, "malloc(%zu) failed", size);
  block[0] = 1;
  free(slots[check::Random(random) % kSlots].exchange(block));
}

void* RunOrdinary(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  while (!stop.load(std::memory_order_relaxed)) Exercise(&random);
  return nullptr;
}

void* RunRealTime(void*) {
  uint64_t random = 99;
  for (int burst = 0; burst < 300; ++burst) {
    for (int i = 0; i < 50; ++i) Exercise(&random);
    usleep(200);  // wakes up in the middle of whatever an ordinary thread is doing
  }
  return nullptr;
}

}  // namespace

int main() {
  alarm(30);
  cpu_set_t allowed;
  cpu_set_t one;
  sched_getaffinity(0, sizeof(allowed), &allowed);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &one);
  }
  CHECK(sched_setaffinity(0, sizeof(one), &one) == 0, "cannot pin to a CPU");
  pthread_t ordinary[3];
  uintptr_t seed = 1;
  for (pthread_t& thread : ordinary) {
    CHECK(pthread_create(&thread, nullptr, RunOrdinary, reinterpret_cast<void*>(seed++)) == 0,
          "cannot start a thread");
  }
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
  sched_param parameters = {};
  parameters.sched_priority = 50;
  pthread_attr_setschedparam(&attributes, &parameters);
  pthread_t real_time;
  if (pthread_create(&real_time, &attributes, RunRealTime, nullptr) != 0) {
    SKIP("real-time scheduling is not permitted");
  }
  pthread_join(real_time, nullptr);
  stop = true;
  for (pthread_t thread : ordinary) pthread_join(thread, nullptr);
  return 0;
}

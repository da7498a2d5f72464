// SPDX-License-Identifier: Apache-2.0
//
// One thread only allocates, another only frees: gigabytes pass, hundreds of kilobytes are alive,
// and the resident memory stays bounded although no thread ever reuses its own frees.

#include <pthread.h>

#include <atomic>

#include "tests/override/check.h"

namespace {

constexpr int kQueue = 1024;
constexpr int kMessages = 3000000;
std::atomic<unsigned> head{0};
std::atomic<unsigned> tail{0};
void* queue[kQueue];

void* Consume(void*) {
  for (unsigned i = 0; i < kMessages; ++i) {
    while (head.load(std::memory_order_acquire) == i) sched_yield();
    char* message = static_cast<char*>(queue[i % kQueue]);
    CHECK(message[0] == static_cast<char>(i), "message %u changed", i);
    free(message);
    tail.store(i + 1, std::memory_order_release);
  }
  return nullptr;
}

}  // namespace

int main() {
  pthread_t consumer;
  CHECK(pthread_create(&consumer, nullptr, Consume, nullptr) == 0, "cannot start a thread");
  uint64_t random = 3;
  size_t peak = 0;
  for (unsigned i = 0; i < kMessages; ++i) {
    while (i - tail.load(std::memory_order_acquire) >= kQueue) sched_yield();
    size_t size = 1 + check::Random(&random) % (i % 1000 == 0 ? 300000 : 1200);
    char* message = static_cast<char*>(malloc(size));
    CHECK(message != nullptr, "malloc(%zu) failed", size);
    message[0] = static_cast<char>(i);

    queue[i % kQueue] = message;
    head.store(i + 1, std::memory_order_release);
    if (i % 100000 == 0) {
      size_t resident = check::ResidentBytes();
      if (resident > peak) peak = resident;
    }
  }
  pthread_join(consumer, nullptr);
  CHECK(peak < (96u << 20), "%zu MiB resident", peak >> 20);
  return 0;
}

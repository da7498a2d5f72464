// SPDX-License-Identifier: Apache-2.0
//
// Two threads free the same block at the same moment.

#include "tests/misuse/misuse.h"

namespace {

pthread_barrier_t barrier;

void* FreeTogether(void* block) {
  pthread_barrier_wait(&barrier);
  free(block);
  return nullptr;
}

}  // namespace

int main() {
  misuse::Flood flood(misuse::kSmall);
  pthread_barrier_init(&barrier, nullptr, 2);
  void* block = misuse::Allocate(misuse::kSmall);
  misuse::Announce(block);
  pthread_t threads[2];
  for (pthread_t& thread : threads) {
    if (pthread_create(&thread, nullptr, FreeTogether, block) != 0) _exit(3);
  }
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Twenty thousand threads live and die, each leaving one block behind for a later one to free:
// neither resident memory nor address space may grow with their number.

#include <pthread.h>

#include "tests/override/check.h"

namespace {

void* left_behind[64];

void* Live(void* argument) {
  unsigned number = static_cast<unsigned>(reinterpret_cast<uintptr_t>(argument));
  void* blocks[40];
  for (int i = 0; i < 40; ++i) {
    blocks[i] = malloc(static_cast<size_t>(i + 1) * 31);
    memset(blocks[i], 1, static_cast<size_t>(i + 1) * 31);
  }
  void* mine = blocks[number % 40];
  blocks[number % 40] = __atomic_exchange_n(&left_behind[number % 64], mine, __ATOMIC_ACQ_REL);
  for (void* block : blocks) free(block);
  void* large = malloc(200000);
  memset(large, 1, 200000);
  free(large);
  return nullptr;
}

}  // namespace

int main() {
  constexpr unsigned kThreads = 20000;
  size_t resident = 0;
  size_t space = 0;
  for (unsigned number = 0; number < kThreads; number += 4) {
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; ++i) {
      CHECK(pthread_create(&threads[i], nullptr, Live,
                           reinterpret_cast<void*>(static_cast<uintptr_t>(number + i))) == 0,
            "cannot start thread %u", number + i);
    }
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    if (number == 2000) {
      resident = check::ResidentBytes();
      space = check::AddressSpaceBytes();
    }
  }
  CHECK(check::ResidentBytes() < resident + (16u << 20), "resident memory grew from %zu to %zu",
        resident, check::ResidentBytes());
  CHECK(check::AddressSpaceBytes() < space + (512u << 20), "the address space grew: %zu to %zu",
        space, check::AddressSpaceBytes());
  return 0;
}

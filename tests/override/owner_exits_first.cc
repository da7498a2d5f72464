// SPDX-License-Identifier: Apache-2.0
//
// Threads allocate and end; other threads verify, reallocate and free their blocks long after. All
// sizes, and again with the roles changed, without growth.

#include <pthread.h>

#include "tests/override/check.h"

namespace {

constexpr int kBlocks = 4000;
struct {
  void* address;
  size_t size;
} blocks[kBlocks];

void* AllocateAll(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  for (int i = 0; i < kBlocks; ++i) {
    blocks[i].size = 1 + check::Random(&random) % (i % 50 == 0 ? 200000 : 2000);
    blocks[i].address = malloc(blocks[i].size);
    CHECK(blocks[i].address != nullptr, "malloc(%zu) failed", blocks[i].size);
    check::Fill(blocks[i].address, blocks[i].size, i);
  }
  return nullptr;
}

void* FreeAll(void*) {
  for (int i = 0; i < kBlocks; ++i) {
    auto& [address, size] = blocks[i];
    CHECK(check::Holds(address, size, i), "a block of %zu changed after its owner ended", size);
    if (i % 3 == 0) {
      address = realloc(address, size * 2);
      CHECK(check::Holds(address, size, i), "realloc of %zu lost contents", size);
    }
    free(address);
  }
  return nullptr;
}

void RunThread(void* (*body)(void*), uintptr_t argument) {
  pthread_t thread;
  CHECK(pthread_create(&thread, nullptr, body, reinterpret_cast<void*>(argument)) == 0,
        "cannot start a thread");
  pthread_join(thread, nullptr);
}

}  // namespace

int main() {
  size_t before = 0;
  for (uintptr_t round = 1; round <= 60; ++round) {
    RunThread(AllocateAll, round);
    if (round % 2 == 0) {
      RunThread(FreeAll, 0);
    } else {
      FreeAll(nullptr);
    }
    if (round == 10) before = check::ResidentBytes();
  }
  size_t after = check::ResidentBytes();
  CHECK(after < before + (32u << 20), "resident memory grew from %zu to %zu", before, after);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// What a thread freed into its own cache serves other threads after it ended: sixty threads,
// one after another, each fill and free the same amount, and only one such amount is resident.

#include <pthread.h>

#include "tests/override/check.h"

namespace {

constexpr int kObjects = 2000;

void* FillAndFree(void*) {
  static thread_local void* objects[kObjects];
  for (size_t size = 16; size <= 2048; size += 48) {
    for (void*& object : objects) {
      object = malloc(size);
      CHECK(object != nullptr, "malloc(%zu) failed", size);
      memset(object, 1, 16);
    }
    for (void* object : objects) free(object);
  }
  return nullptr;
}

void RunThread() {
  pthread_t thread;
  CHECK(pthread_create(&thread, nullptr, FillAndFree, nullptr) == 0, "cannot start a thread");
  pthread_join(thread, nullptr);
}

}  // namespace

int main() {
  for (int i = 0; i < 5; ++i) RunThread();
  size_t before = check::ResidentBytes();
  for (int i = 0; i < 60; ++i) RunThread();
  size_t after = check::ResidentBytes();
  CHECK(after < before + (8u << 20), "resident memory grew from %zu to %zu", before, after);
  return 0;
}

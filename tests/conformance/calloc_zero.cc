// SPDX-License-Identifier: Apache-2.0
//
// calloc returns zeros from memory that was used and freed a moment ago, at every size, also when
// the memory was freed by another thread, trimmed, or belonged to a block of another size.

#include <malloc.h>
#include <pthread.h>

#include <vector>

#include "tests/override/check.h"

namespace {

void* FreeAll(void* argument) {
  for (void* block : *static_cast<std::vector<void*>*>(argument)) free(block);
  return nullptr;
}

void Dirty(size_t size, int count, bool from_another_thread) {
  std::vector<void*> blocks;
  for (int i = 0; i < count; ++i) {
    void* block = malloc(size);
    memset(block, 0xff, malloc_usable_size(block));
    blocks.push_back(block);
  }
  if (from_another_thread) {
    pthread_t thread;
    CHECK(pthread_create(&thread, nullptr, FreeAll, &blocks) == 0, "cannot start a thread");
    pthread_join(thread, nullptr);
  } else {
    FreeAll(&blocks);
  }
}

void CheckZero(size_t size, int count) {
  std::vector<void*> blocks;
  for (int i = 0; i < count; ++i) {
    void* block = calloc(1, size);
    CHECK(block != nullptr, "calloc(1, %zu) failed", size);
    CHECK(check::IsZero(block, size), "calloc(1, %zu) is not zero", size);
    memset(block, 0xff, size);
    blocks.push_back(block);
  }
  FreeAll(&blocks);
}

}  // namespace

int main() {
  for (size_t size = 1; size <= 2100; ++size) {
    Dirty(size, 20, size % 64 == 0);
    CheckZero(size, 25);
  }
  for (size_t size = 2101; size < (4u << 20); size += size / 7 + 1) {
    Dirty(size, 4, true);
    CheckZero(size, 5);
    Dirty(size * 3, 2, false);
    malloc_trim(0);
    CheckZero(size, 6);
  }
  for (size_t size = 4u << 20; size <= (256u << 20); size *= 4) {
    Dirty(size, 1, false);
    CheckZero(size, 1);
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Under mlockall(MCL_CURRENT | MCL_FUTURE) every new mapping is populated at once and cannot be
// discarded: reserved address space must not become resident memory, and calloc must still be zero
// although giving pages back fails.

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

#include "tests/override/check.h"

namespace {

void* Work(void*) {
  for (int round = 0; round < 10; ++round) {
    void* blocks[300];
    for (size_t i = 0; i < 300; ++i) {
      blocks[i] = malloc(i * 97 + 1);
      CHECK(blocks[i] != nullptr, "malloc(%zu) failed", i * 97 + 1);
      memset(blocks[i], 0xff, i * 97 + 1);
    }
    for (void* block : blocks) free(block);
    for (size_t size = 100; size < (8u << 20); size = size * 3 + 5) {
      void* dirty = malloc(size);
      CHECK(dirty != nullptr, "malloc(%zu) failed", size);
      memset(dirty, 0xff, size);
      free(dirty);
      malloc_trim(0);
      void* zero = calloc(1, size);
      CHECK(zero != nullptr && check::IsZero(zero, size), "calloc(1, %zu) is not zero", size);
      free(zero);
    }
  }
  return nullptr;
}

}  // namespace

int main() {
  void* early = malloc(100);
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) SKIP("locking memory is not permitted");
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  size_t before = check::ResidentBytes();
  for (int generation = 0; generation < 4; ++generation) {
    pthread_t threads[4];
    for (pthread_t& thread : threads) {
      CHECK(pthread_create(&thread, &attributes, Work, nullptr) == 0, "cannot start a thread");
    }
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
  }
  free(early);
  size_t after = check::ResidentBytes();
  // At most 4 x 13 MiB are alive at once.
  CHECK(before < (128u << 20), "%zu MiB resident at the start", before >> 20);
  CHECK(after < (400u << 20), "%zu MiB resident", after >> 20);
  return 0;
}

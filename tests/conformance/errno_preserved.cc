// SPDX-License-Identifier: Apache-2.0
//
// free and every delete leave errno as it was, for small, large and huge blocks, also when they
// unmap, flush a cache or run on a thread that has never allocated.

#include <errno.h>
#include <pthread.h>

#include <new>
#include <vector>

#include "tests/override/check.h"

namespace {

constexpr int kMark = 4242;

void FreeAndCheck(void* block, size_t size) {
  errno = kMark;
  free(block);
  CHECK(errno == kMark, "free of %zu bytes set errno %d", size, errno);
}

void* FreeAll(void* argument) {
  auto* blocks = static_cast<std::vector<void*>*>(argument);
  for (void* block : *blocks) FreeAndCheck(block, 0);
  return nullptr;
}

}  // namespace

int main() {
  errno = kMark;
  free(nullptr);
  CHECK(errno == kMark, "free(NULL) set errno %d", errno);
  for (size_t size = 1; size < (size_t{1} << 31); size = size * 2 + 3) {
    void* block = malloc(size);
    CHECK(block != nullptr, "malloc(%zu) failed", size);
    static_cast<char*>(block)[0] = 1;
    FreeAndCheck(block, size);
    if (size > (64u << 20)) continue;
    void* by_new = ::operator new(size);
    errno = kMark;
    ::operator delete(by_new, size);
    CHECK(errno == kMark, "sized delete of %zu set errno %d", size, errno);
    void* aligned = ::operator new(size, std::align_val_t(4096));
    errno = kMark;
    ::operator delete(aligned, size, std::align_val_t(4096));
    CHECK(errno == kMark, "aligned delete of %zu set errno %d", size, errno);
  }
  std::vector<void*> blocks;
  for (int i = 0; i < 200000; ++i) blocks.push_back(malloc(i % 2000));
  for (int i = 0; i < 200; ++i) blocks.push_back(malloc(300000));
  pthread_t thread;
  CHECK(pthread_create(&thread, nullptr, FreeAll, &blocks) == 0, "cannot start a thread");
  pthread_join(thread, nullptr);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Threads call malloc for the first time when no address space is left: the call, which wants a
// cache for the thread, gets a block or NULL with ENOMEM; their frees of other threads' blocks
// work.

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/override/check.h"

namespace {

constexpr int kThreads = 64;
pthread_barrier_t no_memory_left;
void* gifts[kThreads];  // blocks of the main thread, each freed by another

void* Live(void* argument) {
  uintptr_t number = reinterpret_cast<uintptr_t>(argument);
  pthread_barrier_wait(&no_memory_left);
  for (int i = 0; i < 200; ++i) {
    size_t size = static_cast<size_t>(i) * i * 5 + 1;
    errno = 0;
    char* block = static_cast<char*>(malloc(size));
    if (block == nullptr) {
      CHECK(errno == ENOMEM, "malloc(%zu) failed with errno %d", size, errno);
    } else {
      block[0] = block[size - 1] = 1;
    }
    free(block);
    if (i == 10) free(gifts[number]);
    void* zero = calloc(1, size);
    CHECK(zero == nullptr || check::IsZero(zero, size), "calloc(1, %zu) is not zero", size);
    free(zero);
  }
  return nullptr;
}

}  // namespace

int main() {
  pthread_barrier_init(&no_memory_left, nullptr, kThreads + 1);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  pthread_t threads[kThreads];
  for (uintptr_t i = 0; i < kThreads; ++i) {
    CHECK(pthread_create(&threads[i], &attributes, Live, reinterpret_cast<void*>(i)) == 0,
          "cannot start a thread");
  }
  for (int i = 0; i < kThreads; ++i) gifts[i] = malloc(static_cast<size_t>(i) * 600 + 1);
  rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = check::AddressSpaceBytes() + (32u << 20);
  CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "cannot set RLIMIT_AS");
  // Down to the last page, through malloc and beside it.
  for (size_t size = 16u << 20; size >= 16; size /= 2) {
    while (malloc(size) != nullptr) {
    }
  }
  while (mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
  }
  pthread_barrier_wait(&no_memory_left);
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  return 0;
}

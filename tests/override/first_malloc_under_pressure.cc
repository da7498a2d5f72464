// SPDX-License-Identifier: Apache-2.0
//
// Threads start when no address space is left: their first malloc, which wants a cache for the
// thread, gets a block or NULL with ENOMEM, and their frees of other threads' blocks work.

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/override/check.h"

namespace {

constexpr int kThreads = 64;
constexpr size_t kStack = 256 << 10;
void* gifts[kThreads];  // blocks of the main thread, each freed by another

void* Live(void* argument) {
  uintptr_t number = reinterpret_cast<uintptr_t>(argument);
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
  char* stacks = static_cast<char*>(mmap(nullptr, kThreads * kStack, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0));
  CHECK(stacks != MAP_FAILED, "no memory for the stacks");
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
  int started = 0;
  for (uintptr_t i = 0; i < kThreads; ++i) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stacks + i * kStack, kStack);
    pthread_t thread;
    if (pthread_create(&thread, &attributes, Live, reinterpret_cast<void*>(i)) != 0) continue;
    ++started;
    pthread_join(thread, nullptr);
  }
  CHECK(started > 0, "no thread could be started");
  return 0;
}

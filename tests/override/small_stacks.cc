// SPDX-License-Identifier: Apache-2.0
//
// Threads with the smallest stack the system allows call every kind of entry point, the slow paths
// included: first call of the thread, refill, flush, large and huge blocks, failure, statistics,
// thread exit.

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>

#include "tests/override/check.h"

namespace {

// Absent in builds that have them under other names.
extern "C" __attribute__((weak)) void malloc_stats_print(void (*)(void*, const char*), void*,
                                                         const char*);
extern "C" __attribute__((weak)) int MallocExtension_GetNumericProperty(const char*, size_t*);

void* objects[3000];

void Forget(void*, const char*) {}

void* Work(void*) {
  for (size_t size = 8; size < (64u << 20); size *= 4) {
    void* block = malloc(size);
    CHECK(block != nullptr, "malloc(%zu) failed", size);
    block = realloc(block, size * 2);
    block = realloc(block, size / 2);
    free(block);
    free(calloc(2, size));
    free(memalign(size < 4096 ? size : 4096, size));
    free(valloc(size));
    void* aligned = nullptr;
    CHECK(posix_memalign(&aligned, 64, size) == 0, "posix_memalign failed");
    CHECK(malloc_usable_size(aligned) >= size, "the usable size is too small");
    free(aligned);
  }
  for (int i = 0; i < 3000; ++i) objects[i] = malloc(static_cast<size_t>(i) % 2000);
  for (void* object : objects) free(object);
  errno = 0;
  CHECK(malloc(check::Hide(size_t{PTRDIFF_MAX})) == nullptr && errno == ENOMEM, "no refusal");
  malloc_trim(0);
  void* held = malloc(1 << 20);
  const struct mallinfo2 info = mallinfo2();
  CHECK(info.uordblks + info.hblkhd >= 1 << 20, "mallinfo2 doesn't know of a block");
  free(held);
  size_t bytes = 0;
  if (MallocExtension_GetNumericProperty != nullptr) {
    MallocExtension_GetNumericProperty("generic.current_allocated_bytes", &bytes);
  }
  if (malloc_stats_print != nullptr) malloc_stats_print(Forget, nullptr, nullptr);
  return nullptr;
}

}  // namespace

int main() {
  for (int round = 0; round < 20; ++round) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    size_t size = static_cast<size_t>(sysconf(_SC_THREAD_STACK_MIN));
    CHECK(pthread_attr_setstacksize(&attributes, size) == 0, "no stack of %zu bytes", size);
    pthread_t thread;
    CHECK(pthread_create(&thread, &attributes, Work, nullptr) == 0, "cannot start a thread");
    pthread_join(thread, nullptr);
  }
  return 0;
}

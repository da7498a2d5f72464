// SPDX-License-Identifier: Apache-2.0
//
// After everything was freed, malloc_trim(0) gives the memory back to the system, whatever the
// sizes were and whichever thread freed; the blocks that are left are whole.

#include <malloc.h>
#include <pthread.h>

#include <initializer_list>

#include "tests/override/check.h"

namespace {

constexpr size_t kTotal = 192u << 20;
void* last;  // the blocks form a list through their first word

void* FreeList(void*) {
  while (last != nullptr) {
    void* next = *static_cast<void**>(last);
    free(last);
    last = next;
  }
  return nullptr;
}

}  // namespace

int main() {
  for (size_t size : {size_t{16}, size_t{200}, size_t{3000}, size_t{40000}, size_t{3} << 20}) {
    for (int by_another_thread : {0, 1}) {
      void* kept[64];
      size_t count = kTotal / size;
      for (size_t i = 0, k = 0; i < count; ++i) {
        void* block = malloc(size);
        CHECK(block != nullptr, "malloc(%zu) failed", size);
        memset(block, 1, size);
        *static_cast<void**>(block) = last;
        last = block;
        if (k < 64 && i % (count / 64 + 1) == 0) kept[k++] = strdup("kept");
        if (i + 1 == count) {
          while (k < 64) kept[k++] = strdup("kept");
        }
      }
      pthread_t thread;
      if (by_another_thread == 0) {
        FreeList(nullptr);
      } else {
        CHECK(pthread_create(&thread, nullptr, FreeList, nullptr) == 0, "cannot start a thread");
        pthread_join(thread, nullptr);
      }
      malloc_trim(0);
      size_t resident = check::ResidentBytes();
      CHECK(resident < (48u << 20), "%zu MiB resident after freeing %zu MiB of size %zu",
            resident >> 20, kTotal >> 20, size);
      for (void* text : kept) {
        CHECK(strcmp(static_cast<char*>(text), "kept") == 0, "a kept block changed");
        free(text);
      }
    }
  }
  return 0;
}

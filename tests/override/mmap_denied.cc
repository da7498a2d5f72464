// SPDX-License-Identifier: Apache-2.0
//
// When mmap, mremap and brk fail from some moment on, requests that need new memory get NULL and
// ENOMEM, those that do not are served, and nothing crashes or hangs.

#include <errno.h>

#include <initializer_list>

#include "tests/override/check.h"
#include "tests/override/seccomp_filter.h"

int main() {
  void* blocks[1000];
  for (int i = 0; i < 1000; ++i) blocks[i] = malloc(i * 10 + 1);
  void* growing = malloc(3u << 20);
  check::Fill(growing, 3u << 20, 4);
  seccomp_filter::Deny({SYS_mmap, SYS_mremap}, ENOMEM);
  seccomp_filter::Deny({SYS_brk}, 0);  // brk fails by returning an address, not an error

  for (size_t size : {size_t{1} << 20, size_t{1} << 26, size_t{1} << 32}) {
    int served = 0;
    for (int i = 0; i < 5000; ++i) {
      errno = 0;
      if (malloc(size) != nullptr) {
        ++served;
      } else {
        CHECK(errno == ENOMEM, "malloc(%zu) failed with errno %d", size, errno);
      }
    }
    CHECK(served < 5000, "malloc(%zu) found endless memory", size);
  }
  errno = 0;
  CHECK(realloc(growing, size_t{1} << 34) == nullptr && errno == ENOMEM, "realloc grew");
  CHECK(check::Holds(growing, 3u << 20, 4), "a failed realloc changed the block");
  for (int i = 0; i < 1000; ++i) free(blocks[i]);
  free(growing);
  // What was freed serves again: the same sizes, a few at a time.
  for (int round = 0; round < 1000; ++round) {
    void* block = malloc(round * 10 + 1);
    CHECK(block != nullptr, "malloc(%d) failed although such a block was freed", round * 10 + 1);
    free(block);
  }
  // Small objects until nothing is left, then once more after freeing.
  for (int round = 0; round < 3; ++round) {
    void** last = nullptr;
    size_t count = 0;
    while (void** block = static_cast<void**>(malloc(256))) {
      *block = last;
      last = block;
      CHECK(++count < 100000000, "endless memory");
    }
    CHECK(errno == ENOMEM, "malloc(256) failed with errno %d", errno);
    while (last != nullptr) {
      void** next = static_cast<void**>(*last);
      free(last);
      last = next;
    }
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// posix_memalign reports through its value alone: EINVAL for an alignment that is not a power of
// two times sizeof(void*), with *memptr and errno untouched; success never touches errno.

#include <errno.h>

#include <initializer_list>

#include "tests/override/check.h"

int main() {
  char mark;
  for (size_t alignment : {size_t{0}, size_t{1}, size_t{2}, size_t{3}, size_t{4}, size_t{7},
                           size_t{9}, size_t{12}, size_t{24}, size_t{48}, size_t{100}, size_t{4095},
                           size_t{12288}, SIZE_MAX, SIZE_MAX / 2, SIZE_MAX - 7}) {
    for (size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{100000}, SIZE_MAX}) {
      void* block = &mark;
      errno = 123;
      int result = posix_memalign(&block, check::Hide(alignment), check::Hide(size));
      CHECK(result == EINVAL, "posix_memalign(%zu, %zu) returned %d", alignment, size, result);
      CHECK(block == &mark, "posix_memalign(%zu, %zu) changed *memptr", alignment, size);
      CHECK(errno == 123, "posix_memalign(%zu, %zu) set errno %d", alignment, size, errno);
    }
  }
  for (size_t alignment = sizeof(void*); alignment <= (1u << 21); alignment *= 2) {
    void* block = nullptr;
    errno = 123;
    int result = posix_memalign(&block, alignment, 100);
    CHECK(result == 0 && block != nullptr, "posix_memalign(%zu, 100) returned %d", alignment,
          result);
    CHECK(errno == 123, "posix_memalign(%zu, 100) set errno %d", alignment, errno);
    CHECK(check::IsAligned(block, alignment), "%p is not aligned to %zu", block, alignment);
    check::Fill(block, 100, 1);
    free(block);
    CHECK(errno == 123, "free set errno %d", errno);
  }
  return 0;
}

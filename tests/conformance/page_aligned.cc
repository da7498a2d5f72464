// SPDX-License-Identifier: Apache-2.0
//
// The old entry points: valloc and pvalloc align to the page, pvalloc rounds the size up to whole
// pages, memalign rounds an alignment that is no power of two up to one, aligned_alloc either does
// the same or answers EINVAL (both are in use), and all of it is freed by free.

#include <errno.h>
#include <malloc.h>

#include <initializer_list>

#include "tests/override/check.h"

namespace {

size_t NextPowerOfTwo(size_t value) {
  size_t power = 1;
  while (power < value) power *= 2;
  return power;
}

}  // namespace

int main() {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (size_t size : {size_t{1}, size_t{100}, page - 1, page, page + 1, 10 * page + 5,
                      size_t{1} << 20, (size_t{3} << 20) + 1}) {
    void* block = valloc(size);
    CHECK(block != nullptr && check::IsAligned(block, page), "valloc(%zu) = %p", size, block);
    memset(block, 1, size);
    free(block);
    block = pvalloc(size);
    CHECK(block != nullptr && check::IsAligned(block, page), "pvalloc(%zu) = %p", size, block);
    size_t rounded = (size + page - 1) / page * page;
    CHECK(malloc_usable_size(block) >= rounded, "pvalloc(%zu) has %zu bytes", size,
          malloc_usable_size(block));
    memset(block, 1, rounded);
    free(block);
  }
  for (size_t alignment : {1, 2, 3, 5, 17, 24, 33, 100, 1000, 4097, 10000, 100000}) {
    size_t rounded = NextPowerOfTwo(alignment);
    for (size_t size : {1, 50, 5000, 200000}) {
      void* block = memalign(check::Hide(alignment), size);
      CHECK(block != nullptr && check::IsAligned(block, rounded), "memalign(%zu, %zu) = %p",
            alignment, size, block);
      memset(block, 1, size);
      free(block);
      errno = 0;
      block = aligned_alloc(check::Hide(alignment), size);
      if (block == nullptr) {
        CHECK(errno == EINVAL && alignment != rounded, "aligned_alloc(%zu, %zu): errno %d",
              alignment, size, errno);
      } else {
        CHECK(check::IsAligned(block, rounded), "aligned_alloc(%zu, %zu) = %p", alignment, size,
              block);
        memset(block, 1, size);
        free(block);
      }
    }
  }
  return 0;
}

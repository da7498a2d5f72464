// SPDX-License-Identifier: Apache-2.0
//
// A size no address space can hold is refused by every entry point with NULL and ENOMEM
// (posix_memalign: with the value ENOMEM, and *memptr untouched), and the heap works afterwards.

#include <errno.h>
#include <malloc.h>

#include <initializer_list>

#include "tests/override/check.h"

namespace {

void Refused(const char* entry, size_t size, void* block) {
  CHECK(block == nullptr, "%s(%#zx) returned %p", entry, size, block);
  CHECK(errno == ENOMEM, "%s(%#zx) set errno %d, not ENOMEM", entry, size, errno);
  errno = 0;
}

void CheckSize(size_t size) {
  size = check::Hide(size);
  errno = 0;
  Refused("malloc", size, malloc(size));
  Refused("calloc(1)", size, calloc(1, size));
  Refused("calloc(size, 1)", size, calloc(size, 1));
  Refused("realloc(NULL)", size, realloc(nullptr, size));
  Refused("reallocarray(NULL)", size, reallocarray(nullptr, size, 1));
  Refused("valloc", size, valloc(size));
  Refused("pvalloc", size, pvalloc(size));
  for (size_t alignment : {16u, 64u, 4096u, 8192u, 1u << 21}) {
    Refused("aligned_alloc", size, aligned_alloc(alignment, size));
    Refused("memalign", size, memalign(alignment, size));
    void* const untouched = &errno;
    void* block = untouched;
    int result = posix_memalign(&block, alignment, size);
    CHECK(result == ENOMEM, "posix_memalign(%zu, %#zx) returned %d", alignment, size, result);
    CHECK(block == untouched, "posix_memalign(%zu, %#zx) changed *memptr", alignment, size);
  }
  for (size_t old_size : {1u, 100u, 5000u, 100000u, 3000000u}) {
    void* old_block = malloc(old_size);
    check::Fill(old_block, old_size, 7);
    errno = 0;
    Refused("realloc", size, realloc(old_block, size));
    Refused("reallocarray", size, reallocarray(old_block, 1, size));
    CHECK(check::Holds(old_block, old_size, 7), "a failed realloc changed the old block");
    free(old_block);
  }
}

}  // namespace

int main() {
  const size_t kPtrdiffMax = PTRDIFF_MAX;
  // The sizes around every point where rounding up could wrap or a sign could flip.
  for (size_t slack : {0u, 1u, 7u, 8u, 15u, 16u, 31u, 63u, 4095u, 4096u, 8191u, 8192u, 65536u,
                       (2u << 20) - 1, 2u << 20, 4u << 20}) {
    CheckSize(SIZE_MAX - slack);
    CheckSize(kPtrdiffMax - slack);
    CheckSize(kPtrdiffMax + slack);
    CheckSize(kPtrdiffMax + 1 + slack);
  }
  for (int bit = 48; bit < 64; ++bit) CheckSize(size_t{1} << bit);
  void* block = malloc(1000);
  CHECK(block != nullptr, "no memory after the refusals");
  free(block);
  return 0;
}

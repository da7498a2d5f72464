// SPDX-License-Identifier: Apache-2.0
//
// A request for zero bytes gives a unique pointer that can be freed; realloc(p, 0) frees p and
// returns NULL, as glibc does; free(NULL) and delete of nullptr do nothing.

#include <malloc.h>

#include <initializer_list>
#include <new>

#include "tests/override/check.h"

int main() {
  const size_t zero = check::Hide(size_t{0});
  void* aligned = nullptr;
  CHECK(posix_memalign(&aligned, 64, zero) == 0, "posix_memalign(64, 0) failed");
  void* blocks[] = {malloc(zero),
                    malloc(zero),
                    calloc(zero, 8),
                    calloc(8, zero),
                    calloc(zero, SIZE_MAX),
                    calloc(SIZE_MAX, zero),
                    realloc(nullptr, zero),
                    reallocarray(nullptr, zero, 8),
                    aligned_alloc(64, zero),
                    memalign(64, zero),
                    valloc(zero),
                    aligned,
                    ::operator new(zero),
                    ::operator new[](zero),
                    ::operator new(zero, std::nothrow)};
  const int kBlocks = sizeof(blocks) / sizeof(blocks[0]);
  for (int i = 0; i < kBlocks; ++i) {
    CHECK(blocks[i] != nullptr, "request %d for zero bytes returned NULL", i);
    for (int j = 0; j < i; ++j) CHECK(blocks[i] != blocks[j], "requests %d and %d are one", i, j);
  }
  for (int i = 0; i < kBlocks; ++i) free(blocks[i]);

  // Freed by realloc(p, 0) again and again: a leak would show in the resident memory.
  for (size_t size : {16u, 4000u, 300000u}) {
    size_t before = check::ResidentBytes();
    for (size_t total = 0; total < (256u << 20); total += size < 4000 ? 4000 : size) {
      char* block = static_cast<char*>(malloc(size));
      *block = 1;
      void* result = realloc(block, zero);
      CHECK(result == nullptr, "realloc(p, 0) returned %p", result);
    }
    size_t after = check::ResidentBytes();
    CHECK(after < before + (32u << 20), "realloc(p of %zu, 0) leaks: %zu -> %zu", size, before,
          after);
  }
  free(check::Hide(static_cast<void*>(nullptr)));
  ::operator delete(check::Hide(static_cast<void*>(nullptr)));
  ::operator delete[](check::Hide(static_cast<void*>(nullptr)));
  ::operator delete(check::Hide(static_cast<void*>(nullptr)), size_t{8});
  ::operator delete(check::Hide(static_cast<void*>(nullptr)), std::align_val_t(64));
  CHECK(malloc_usable_size(check::Hide(static_cast<void*>(nullptr))) == 0, "usable size of NULL");
  return 0;
}

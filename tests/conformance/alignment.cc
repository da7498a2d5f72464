// SPDX-License-Identifier: Apache-2.0
//
// Every block of every entry point that takes no alignment is aligned to 16 bytes, the strictest
// fundamental alignment, whatever its size; aligned entry points give what was asked.

#include <malloc.h>

#include <new>

#include "tests/override/check.h"

namespace {

void CheckBlock(const char* entry, size_t size, void* block, size_t alignment) {
  CHECK(block != nullptr, "%s(%zu) returned NULL", entry, size);
  CHECK(check::IsAligned(block, alignment), "%s(%zu) = %p is not aligned to %zu", entry, size,
        block, alignment);
  CHECK(malloc_usable_size(block) >= size, "%s(%zu): usable size %zu", entry, size,
        malloc_usable_size(block));
  memset(block, 0x5a, size);
}

void CheckSize(size_t size) {
  void* blocks[6] = {malloc(size),           calloc(1, size),
                     realloc(nullptr, size), ::operator new(size),
                     ::operator new[](size), ::operator new(size, std::nothrow)};
  const char* entries[6] = {"malloc", "calloc", "realloc", "new", "new[]", "nothrow new"};
  for (int i = 0; i < 6; ++i) CheckBlock(entries[i], size, blocks[i], 16);
  void* moved = realloc(blocks[0], size + 17);
  CheckBlock("growing realloc", size + 17, moved, 16);
  free(moved);
  free(blocks[1]);
  free(blocks[2]);
  ::operator delete(blocks[3]);
  ::operator delete[](blocks[4]);
  ::operator delete(blocks[5], std::nothrow);
}

void CheckAligned(size_t alignment, size_t size) {
  void* block = nullptr;
  CHECK(posix_memalign(&block, alignment, size) == 0, "posix_memalign(%zu, %zu) failed", alignment,
        size);
  void* blocks[4] = {block, aligned_alloc(alignment, size), memalign(alignment, size),
                     ::operator new(size, std::align_val_t(alignment))};
  const char* entries[4] = {"posix_memalign", "aligned_alloc", "memalign", "aligned new"};
  for (int i = 0; i < 4; ++i) CheckBlock(entries[i], size, blocks[i], alignment);
  for (int i = 0; i < 3; ++i) free(blocks[i]);
  ::operator delete(blocks[3], std::align_val_t(alignment));
}

}  // namespace

int main() {
  for (size_t size = 0; size <= 4096; ++size) CheckSize(size);
  for (size_t size = 4097; size < (32u << 20); size += size / 5 + 1) CheckSize(size);
  for (size_t alignment = 8; alignment <= (4u << 20); alignment *= 2) {
    for (size_t size = 1; size < (2u << 20); size += size * 2 / 3 + 1) {
      CheckAligned(alignment, size);
    }
  }
  return 0;
}

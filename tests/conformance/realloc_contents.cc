// SPDX-License-Identifier: Apache-2.0
//
// realloc keeps the first min(old, new) bytes through every kind of change: up and down, by one
// and by factors, 1 byte to 64 MiB, with neighbours alive on both sides.

#include <malloc.h>

#include <initializer_list>

#include "tests/override/check.h"

namespace {

void* Resize(void* block, size_t old_size, size_t new_size) {
  block = realloc(block, new_size);
  CHECK(block != nullptr, "realloc(%zu -> %zu) failed", old_size, new_size);
  CHECK(check::IsAligned(block, new_size < 16 ? 8 : 16), "realloc(%zu -> %zu) = %p", old_size,
        new_size, block);
  CHECK(malloc_usable_size(block) >= new_size, "realloc(%zu -> %zu): usable size %zu", old_size,
        new_size, malloc_usable_size(block));
  size_t kept = old_size < new_size ? old_size : new_size;
  CHECK(check::Holds(block, kept, 9), "realloc(%zu -> %zu) lost contents", old_size, new_size);
  check::Fill(block, new_size, 9);
  return block;
}

}  // namespace

int main() {
  void* block = Resize(nullptr, 0, 1);
  size_t size = 1;
  for (; size < 3000; ++size) block = Resize(block, size, size + 1);
  for (; size > 1; --size) block = Resize(block, size, size - 1);
  free(block);

  for (int numerator : {5, 8, 16}) {  // growth by 1.25, 2 and 4, and back
    block = Resize(nullptr, 0, 1);
    for (size = 1; size < (64u << 20);) {
      size_t next = size * numerator / 4 + 1;
      block = Resize(block, size, next);
      void* neighbour = malloc(next / 2 + 1);
      memset(neighbour, 0xee, next / 2 + 1);
      free(neighbour);
      size = next;
    }
    while (size > 1) {
      size_t next = size * 4 / numerator;
      block = Resize(block, size, next);
      size = next;
    }
    free(block);
  }

  // Jumps between far sizes, with many blocks at once.
  uint64_t random = 1;
  constexpr int kBlocks = 64;
  void* blocks[kBlocks] = {};
  size_t sizes[kBlocks] = {};
  for (int step = 0; step < 8000; ++step) {
    int i = check::Random(&random) % kBlocks;
    size_t next = 1 + check::Random(&random) % (size_t{1} << (1 + check::Random(&random) % 19));
    blocks[i] = Resize(blocks[i], sizes[i], next);
    sizes[i] = next;
  }
  for (int i = 0; i < kBlocks; ++i) {
    CHECK(check::Holds(blocks[i], sizes[i], 9), "a block of %zu changed", sizes[i]);
    free(blocks[i]);
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Every byte that malloc_usable_size reports may be written: neighbours stay whole, and realloc
// carries the extra bytes when the block moves.

#include <malloc.h>

#include <vector>

#include "tests/override/check.h"

namespace {

struct Block {
  void* address;
  size_t usable;
};

void CheckGroup(size_t size, int count) {
  std::vector<Block> blocks;
  for (int i = 0; i < count; ++i) {
    void* address = i % 3 == 2 ? memalign(64, size) : malloc(size);
    CHECK(address != nullptr, "no memory for %zu", size);
    size_t usable = malloc_usable_size(address);
    CHECK(usable >= size, "usable size %zu of a block of %zu", usable, size);
    CHECK(malloc_usable_size(address) == usable, "the usable size of %zu is not stable", size);
    check::Fill(address, usable, i);
    blocks.push_back({address, usable});
  }
  for (int i = 0; i < count; ++i) {
    CHECK(check::Holds(blocks[i].address, blocks[i].usable, i),
          "a write to the usable size of a neighbour reached block %d of size %zu", i, size);
  }
  for (int i = 0; i < count; i += 2) {
    blocks[i].address = realloc(blocks[i].address, blocks[i].usable + 1);
    CHECK(check::Holds(blocks[i].address, blocks[i].usable, i), "realloc lost bytes of size %zu",
          size);
  }
  for (int i = 0; i < count; ++i) {
    CHECK(check::Holds(blocks[i].address, blocks[i].usable, i), "a block of size %zu changed",
          size);
    free(blocks[i].address);
  }
}

}  // namespace

int main() {
  for (size_t size = 1; size <= 1100; ++size) CheckGroup(size, 12);
  for (size_t size = 1101; size < (8u << 20); size += size / 6 + 1) CheckGroup(size, 4);
  return 0;
}

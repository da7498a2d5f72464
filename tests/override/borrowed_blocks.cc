// SPDX-License-Identifier: Apache-2.0
//
// A heap that is about to grow gives out holes among larger blocks instead. Such blocks are as good
// as others: aligned, and freed and resized by whatever function the program likes, with its size.

#include <malloc.h>

#include <new>
#include <vector>

#include "tests/override/check.h"

namespace {

struct Block {
  char* bytes;
  size_t size;
};

constexpr size_t kHoles = 8u << 20;
constexpr size_t kStep = 1u << 20;

// Fills with blocks of `size` bytes and frees all but every eighth.
void MakeHoles(size_t size) {
  std::vector<void*> blocks;
  for (size_t bytes = 0; bytes < kHoles; bytes += size) {
    blocks.push_back(malloc(size));
    memset(blocks.back(), 1, size);
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i % 8 != 0) free(blocks[i]);
  }
}

// Grows by blocks of `size` bytes until some were borrowed, and uses them.
int UseBorrowed(size_t size) {
  const size_t usual = malloc_usable_size(malloc(size));
  std::vector<Block> blocks;
  std::vector<Block> borrowed;
  for (size_t bytes = 0; bytes < 4 * kHoles && borrowed.size() < 500; bytes += size) {
    if (bytes % kStep < size) usleep(30000);  // what is free becomes idle
    const Block block = {static_cast<char*>(malloc(size)), size};
    memset(block.bytes, static_cast<int>(blocks.size() % 251), size);
    (malloc_usable_size(block.bytes) > usual ? borrowed : blocks).push_back(block);
  }
  for (const Block& block : borrowed) {
    CHECK(malloc_usable_size(block.bytes) <= 2 * usual, "%zu bytes hold %zu", size,
          malloc_usable_size(block.bytes));
    for (size_t alignment = 16; usual % alignment == 0; alignment *= 2) {
      CHECK(reinterpret_cast<uintptr_t>(block.bytes) % alignment == 0, "%p", block.bytes);
    }
  }
  int way = 0;
  for (const Block& block : borrowed) {
    switch (way++ % 4) {
      case 0:
        ::operator delete(block.bytes, block.size);
        break;
      case 1:
        free(block.bytes);
        break;
      case 2:
        ::operator delete(block.bytes, block.size, std::align_val_t{32});
        break;
      default: {
        const char first = block.bytes[0];
        auto* grown = static_cast<char*>(realloc(block.bytes, 2 * block.size));
        CHECK(grown[0] == first && grown[block.size - 1] == first, "contents");
        free(grown);
      }
    }
  }
  for (const Block& block : blocks) ::operator delete(block.bytes, block.size);
  return way;
}

}  // namespace

int main() {
  int borrowed = 0;
  for (const size_t holes : {960, 6144}) {
    MakeHoles(holes);
    for (const size_t size : {holes / 2 + 16, holes * 3 / 4 - 16}) borrowed += UseBorrowed(size);
  }
  CHECK(borrowed > 200, "%d", borrowed);
  return 0;
}

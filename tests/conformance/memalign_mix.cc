// SPDX-License-Identifier: Apache-2.0
//
// Aligned and plain blocks of mixed sizes live side by side, are reallocated and freed in random
// order, and keep their contents; realloc of an aligned block keeps its contents too.

#include <malloc.h>

#include "tests/override/check.h"

namespace {

constexpr int kBlocks = 512;

struct Block {
  void* address = nullptr;
  size_t size = 0;
  uint32_t seed = 0;
};

void* Allocate(uint32_t choice, size_t alignment, size_t size) {
  void* block = nullptr;
  switch (choice % 5) {
    case 0:
      return memalign(alignment, size);
    case 1:
      return aligned_alloc(alignment, size);
    case 2:
      return posix_memalign(&block, alignment, size) == 0 ? block : nullptr;
    case 3:
      return valloc(size);
    default:
      return malloc(size);
  }
}

}  // namespace

int main() {
  Block blocks[kBlocks];
  uint64_t random = 5;
  for (uint32_t step = 0; step < 100000; ++step) {
    Block& block = blocks[check::Random(&random) % kBlocks];
    if (block.address != nullptr) {
      CHECK(check::Holds(block.address, block.size, block.seed), "a block of %zu changed",
            block.size);
      if (check::Random(&random) % 4 == 0) {
        size_t size = 1 + check::Random(&random) % 6000;
        block.address = realloc(block.address, size);
        size_t kept = size < block.size ? size : block.size;
        CHECK(check::Holds(block.address, kept, block.seed), "realloc %zu -> %zu lost contents",
              block.size, size);
        block.size = size;
        check::Fill(block.address, size, block.seed);
      } else {
        free(block.address);
        block.address = nullptr;
      }
      continue;
    }
    uint32_t choice = check::Random(&random);
    size_t alignment = size_t{8} << (check::Random(&random) % 14);
    block.size = 1 + check::Random(&random) % (step % 64 == 0 ? 600000 : 3000);
    block.seed = step;
    block.address = Allocate(choice, alignment, block.size);
    CHECK(block.address != nullptr, "no memory for %zu", block.size);
    if (choice % 5 < 3) {
      CHECK(check::IsAligned(block.address, alignment), "%p is not aligned to %zu", block.address,
            alignment);
    }
    check::Fill(block.address, block.size, block.seed);
  }
  for (Block& block : blocks) free(block.address);
  return 0;
}

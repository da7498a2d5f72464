// SPDX-License-Identifier: Apache-2.0
//
// After a spike of which one block in twenty stays, trimming gives back what lies between them,
// also inside spans; the blocks that stay keep their contents.

#include <malloc.h>

#include "tests/override/check.h"

namespace {

constexpr size_t kSpike = 256u << 20;
constexpr size_t kMaxBlocks = 2'000'000;
unsigned char* blocks[kMaxBlocks];
size_t sizes[kMaxBlocks];

}  // namespace

int main() {
  uint64_t random = 5;
  size_t count = 0;
  size_t kept = 0;
  for (size_t made = 0; made < kSpike; ++count) {
    // As many bytes in each power of two from 256 bytes to 16 KiB.
    const uint64_t draw = check::Random(&random) % 127;
    size_t size = 256;
    for (uint64_t below = 64; draw >= below && size < 8192; below += 64 * 256 / size) size *= 2;
    sizes[count] = size + check::Random(&random) % size;
    blocks[count] = static_cast<unsigned char*>(malloc(sizes[count]));
    CHECK(blocks[count] != nullptr, "malloc(%zu) failed", sizes[count]);
    memset(blocks[count], static_cast<int>(count % 251), sizes[count]);
    made += sizes[count];
  }
  for (size_t i = 0; i < count; ++i) {
    if (check::Random(&random) % 20 == 0) {
      kept += sizes[i];
    } else {
      free(blocks[i]);
      blocks[i] = nullptr;
    }
  }
  CHECK(malloc_trim(0) == 1, "nothing was given back");
  const size_t resident = check::ResidentBytes();
  // Without what lies inside spans it would be 120 MiB.
  CHECK(resident < (80u << 20), "%zu MiB kept, %zu MiB resident", kept >> 20, resident >> 20);
  for (size_t i = 0; i < count; ++i) {
    for (size_t b = 0; blocks[i] != nullptr && b < sizes[i]; ++b) {
      CHECK(blocks[i][b] == i % 251, "a block in use was changed");
    }
    free(blocks[i]);
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// A program whose live bytes stay constant while its sizes drift, phase after phase, keeps its
// resident memory within six times them (jemalloc 5.3 needs 3.6, tcmalloc 2.10 and mimalloc 2.0
// six to seven).

#include "tests/override/check.h"

namespace {

constexpr size_t kLive = 48u << 20;
constexpr int kSlots = 200000;
void* blocks[kSlots];
size_t sizes[kSlots];

}  // namespace

int main() {
  uint64_t random = 11;
  size_t live = 0;
  size_t peak = 0;
  for (int phase = 0; phase < 24; ++phase) {
    // Each phase likes another band of sizes: 24, 36, 54 ... about 130 KiB, and then back.
    size_t base = 24;
    for (int i = 0; i < (phase < 12 ? phase : 23 - phase) * 2; ++i) base = base * 3 / 2;
    for (size_t moved = 0; moved < 3 * kLive;) {
      int slot = static_cast<int>(check::Random(&random) % kSlots);
      while (blocks[slot] == nullptr && live >= kLive) slot = (slot + 1) % kSlots;
      if (blocks[slot] != nullptr) {
        free(blocks[slot]);
        live -= sizes[slot];
        blocks[slot] = nullptr;
      }
      if (live < kLive) {
        sizes[slot] = base + check::Random(&random) % base;
        blocks[slot] = malloc(sizes[slot]);
        CHECK(blocks[slot] != nullptr, "malloc(%zu) failed", sizes[slot]);
        memset(blocks[slot], 1, sizes[slot]);
        live += sizes[slot];
        moved += sizes[slot];
      }
    }
    size_t resident = check::ResidentBytes();
    if (resident > peak) peak = resident;
  }
  CHECK(peak < 6 * kLive, "%zu MiB live, %zu MiB resident", kLive >> 20, peak >> 20);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Arenas that are made, filled and destroyed 10 000 times leave nothing behind: no address space,
// no structures, no blocks that count.

#include "tests/override/arenas.h"

namespace {

void Fill(unsigned arena, int round) {
  for (size_t i = 0; i < 64; ++i) {
    const size_t size = (i * 977 + static_cast<size_t>(round) * 31) % 40000 + 1;
    void* block = arenas::Mallocx(size, arenas::In(arena));
    CHECK(block != nullptr, "mallocx(%zu) failed", size);
    memset(block, 1, size < 64 ? size : 64);
    if (i % 3 == 0) free(block);
  }
  void* large = arenas::Mallocx(size_t{5} << 20, arenas::In(arena));
  CHECK(large != nullptr, "mallocx of 5 MiB failed");
  memset(large, 1, 4096);
}

}  // namespace

int main() {
  uint64_t metadata = 0;
  uint64_t address_space = 0;
  const uint64_t allocated = statistics::Read("stats.allocated");
  for (int round = 0; round < 10000; ++round) {
    const unsigned arena = arenas::Create();
    CHECK(arena == 1, "arena %u in round %d", arena, round);
    Fill(arena, round);
    if (round % 10 == 0) {
      CHECK(arenas::Do(arena, "reset") == 0, "reset failed");
      Fill(arena, round);
    }
    CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
    if (round % 1000 != 100) continue;
    const uint64_t now_metadata = statistics::Read("stats.metadata");
    const uint64_t now_space =
        statistics::Read("stats.mapped") + statistics::Read("stats.retained");
    if (metadata != 0) {
      CHECK(now_metadata <= metadata + 65536, "metadata grew from %llu to %llu",
            static_cast<unsigned long long>(metadata),
            static_cast<unsigned long long>(now_metadata));
      CHECK(now_space <= address_space + (size_t{4} << 20), "mapped grew from %llu to %llu",
            static_cast<unsigned long long>(address_space),
            static_cast<unsigned long long>(now_space));
    }
    if (metadata == 0) metadata = now_metadata;
    if (address_space == 0) address_space = now_space;
  }
  const uint64_t now = statistics::Read("stats.allocated");
  CHECK(now <= allocated + 65536, "%llu bytes allocated, of %llu before",
        static_cast<unsigned long long>(now), static_cast<unsigned long long>(allocated));
  CHECK(arenas::Stat(4097, "small.nmalloc") == arenas::Stat(4097, "small.ndalloc"),
        "blocks of destroyed arenas live");
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// However often realloc moves pages and memory is released, in arenas or not, the process has a
// bounded number of mappings (vm.max_map_count is 65530), and statistics tell of them.

#include <malloc.h>

#include "tests/override/check.h"
#include "tests/override/statistics.h"

namespace {

using Mallocx = void* (*)(size_t, int);
using Rallocx = void* (*)(void*, size_t, int);

constexpr size_t kBlocks = 13000;
constexpr size_t kMaxSplits = 12288;

size_t Mappings() {
  FILE* file = fopen("/proc/self/maps", "r");
  CHECK(file != nullptr, "no /proc/self/maps");
  size_t lines = 0;
  for (int c; (c = getc(file)) != EOF;) lines += c == '\n';
  fclose(file);
  return lines;
}

}  // namespace

int main() {
  const auto mallocx = statistics::Find<Mallocx>("mallocx");
  const auto rallocx = statistics::Find<Rallocx>("rallocx");
  const auto mallctl = statistics::Find<statistics::Mallctl>("mallctl");
  unsigned arena = 0;
  size_t length = sizeof(arena);
  CHECK(mallctl("arenas.create", &arena, &length, nullptr, 0) == 0, "no arena");
  const int in_arena = static_cast<int>((arena + 1) << 20);
  const size_t before = Mappings();
  static char* blocks[kBlocks];
  static size_t sizes[kBlocks];
  uint64_t random = 1;
  for (size_t i = 0; i < kBlocks; ++i) {
    const int flags = i % 2 == 0 ? in_arena : 0;
    sizes[i] = 140000 + check::Random(&random) % 100000;
    blocks[i] = static_cast<char*>(mallocx(sizes[i], flags));
    *blocks[i] = 'a';
  }
  // Each block is moved away from between its neighbours.
  for (size_t i = 0; i < kBlocks; ++i) {
    const int flags = i % 2 == 0 ? in_arena : 0;
    sizes[i] += 140000 + check::Random(&random) % 100000;
    blocks[i] = static_cast<char*>(rallocx(blocks[i], sizes[i], flags));
    CHECK(blocks[i] != nullptr && *blocks[i] == 'a', "rallocx failed");
    if (i % 2000 == 0) malloc_trim(0);
  }
  const size_t now = Mappings();
  const uint64_t splits = statistics::Read("spanmalloc.mapping_splits");
  CHECK(splits <= kMaxSplits, "%zu splits", static_cast<size_t>(splits));
  CHECK(now <= before + kMaxSplits + 100, "%zu mappings", now);
  CHECK(now <= before + splits + 100, "%zu mappings, %zu splits", now, static_cast<size_t>(splits));
  CHECK(now > before + 1000, "the test moves nothing: %zu mappings", now);
  for (char* block : blocks) free(block);
  malloc_trim(0);
  return 0;
}

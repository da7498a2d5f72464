// SPDX-License-Identifier: Apache-2.0
//
// malloc_trim says 1 if and only if memory went back, and spanmalloc_release_free_memory how much:
// what the kernel counts as resident fell by as much. Memory that was never touched doesn't count.

#include <dlfcn.h>
#include <malloc.h>

#include "tests/override/check.h"
#include "tests/override/limits.h"

namespace {

using Release = size_t (*)();

// Of the process's memory alone, by the page tables: the kernel's running counts are behind.
size_t ExactResident() {
  static char text[4096];
  const int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  if (fd < 0) SKIP("no smaps_rollup");
  size_t length = 0;
  for (ssize_t got; (got = read(fd, text + length, sizeof(text) - 1 - length)) > 0;) {
    length += static_cast<size_t>(got);
  }
  close(fd);
  const char* line = strstr(text, "\nAnonymous:");
  CHECK(line != nullptr, "no line of anonymous memory");
  return strtoul(line + 11, nullptr, 10) << 10;
}

bool About(size_t a, size_t b) {
  const size_t more = a > b ? a - b : b - a;
  return more <= (size_t{128} << 10);
}

}  // namespace

int main() {
  // However long it takes, nothing goes back before it is asked for.
  ssize_t never = -1;
  CHECK(
      check::FindMallctl()("arena.0.dirty_decay_ms", nullptr, nullptr, &never, sizeof(never)) == 0,
      "cannot set the decay time");
  auto release = reinterpret_cast<Release>(dlsym(RTLD_DEFAULT, "spanmalloc_release_free_memory"));
  CHECK(release != nullptr, "no spanmalloc_release_free_memory");
  malloc_trim(0);
  CHECK(malloc_trim(0) == 0, "it gave back what was gone");

  // Never touched.
  void* large = malloc(16u << 20);
  void* medium[200];
  for (void*& block : medium) block = malloc(40000);
  for (void* block : medium) free(block);
  free(large);
  const size_t untouched = release();
  CHECK(untouched < (1u << 20), "%zu bytes that were never touched went back", untouched);

  // Touched, of every kind: large, in a span of one block, in spans that stay, in spans that don't.
  constexpr size_t kBlocks = 40000;
  static char* blocks[kBlocks];
  for (size_t i = 0; i < kBlocks; ++i) {
    const size_t size = i % 1000 == 0 ? 700000 : i % 100 == 0 ? 50000 : i % 3 == 0 ? 500 : 1500;
    blocks[i] = static_cast<char*>(malloc(size));
    memset(blocks[i], 1, size);
  }
  for (size_t i = 0; i < kBlocks; ++i) {
    if (i % 50 != 0) free(blocks[i]);
  }
  const size_t before = ExactResident();
  const size_t told = release();
  const size_t fell = before - ExactResident();
  CHECK(told > (20u << 20), "only %zu bytes", told);
  CHECK(About(told, fell), "told %zu KiB, resident memory fell by %zu KiB", told >> 10, fell >> 10);
  CHECK(release() < (64u << 10), "it gave back again what was gone");
  for (size_t i = 0; i < kBlocks; i += 50) {
    CHECK(blocks[i][0] == 1, "a block in use was changed");
    free(blocks[i]);
  }
  CHECK(malloc_trim(0) == 1, "nothing went back");
  CHECK(malloc_trim(0) == 0, "it gave back what was gone, again");
  return 0;
}

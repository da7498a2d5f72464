// SPDX-License-Identifier: Apache-2.0
//
// When the process has used up its mappings (vm.max_map_count), malloc serves or returns NULL, free
// frees, and once mappings are returned everything works again.

#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>

#include "tests/override/check.h"

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kPages = 1u << 18;  // more than twice any usual limit

void Exercise(bool must_serve) {
  static void* blocks[3000];
  for (int i = 0; i < 3000; ++i) {
    size_t size = i % 100 == 0 ? 5u << 20 : 1 + static_cast<size_t>(i) * 37;
    errno = 0;
    blocks[i] = malloc(size);
    if (blocks[i] == nullptr) {
      CHECK(errno == ENOMEM, "malloc(%zu) failed with errno %d", size, errno);
      CHECK(!must_serve, "malloc(%zu) failed with mappings to spare", size);
    } else {
      memset(blocks[i], 1, size < 4096 ? size : 4096);
    }
  }
  for (int i = 0; i < 3000; i += 2) free(blocks[i]);
  malloc_trim(0);
  for (int i = 1; i < 3000; i += 2) free(blocks[i]);
  malloc_trim(0);
}

}  // namespace

int main() {
  Exercise(true);
  char* region = static_cast<char*>(
      mmap(nullptr, kPages * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  CHECK(region != MAP_FAILED, "cannot map the region");
  // Every second page gets other rights: each change makes two more mappings.
  size_t changed = 0;
  while (changed < kPages / 2 && mprotect(region + changed * 2 * kPage, kPage, PROT_NONE) == 0) {
    ++changed;
  }
  if (changed == kPages / 2) SKIP("vm.max_map_count is above %zu", kPages);
  for (int round = 0; round < 5; ++round) Exercise(false);
  CHECK(munmap(region, kPages * kPage) == 0, "cannot unmap the region");
  Exercise(true);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// calloc doesn't touch pages that come from the kernel, new ones or ones that were given back: they
// aren't resident afterwards. It clears those that held something.

#include <malloc.h>
#include <sys/mman.h>

#include "tests/override/check.h"

namespace {

constexpr size_t kSmallest = 64u << 10;
constexpr size_t kLargest = 64u << 20;

size_t ResidentOf(const void* block, size_t size) {
  static unsigned char resident[kLargest / 4096 + 2];
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(block) / page * page;
  const size_t bytes = reinterpret_cast<uintptr_t>(block) + size - begin;
  CHECK(mincore(reinterpret_cast<void*>(begin), bytes, resident) == 0, "mincore failed");
  size_t count = 0;
  for (size_t i = 0; i < (bytes + page - 1) / page; ++i) count += resident[i] & 1;
  return count * page;
}

char* CheckFresh(size_t size, const char* of) {
  char* block = static_cast<char*>(calloc(1, size));
  CHECK(block != nullptr, "calloc(1, %zu) failed", size);
  size_t resident = ResidentOf(block, size);
  // A huge page may be found by touching it.
  const size_t found = size < (2u << 20) ? 0 : 2u << 20;
  CHECK(resident <= size / 16 + found, "calloc(1, %zu) of %s pages: %zu bytes resident", size, of,
        resident);
  CHECK(check::IsZero(block, size), "calloc(1, %zu) of %s pages is not zero", size, of);
  memset(block, 0xff, size);
  return block;
}

void CheckDirty(char* freed, size_t size) {
  free(freed);
  char* block = static_cast<char*>(calloc(1, size));
  CHECK(block != nullptr && check::IsZero(block, size), "calloc(1, %zu) of dirty pages", size);
  memset(block, 0xff, size);
  free(block);
}

}  // namespace

int main() {
  char* blocks[32];
  size_t count = 0;
  for (size_t size = kLargest; size >= kSmallest; size = size * 2 / 3) {
    blocks[count++] = CheckFresh(size, "new");
  }
  while (count > 0) free(blocks[--count]);
  for (size_t size = kLargest; size >= kSmallest; size = size * 2 / 3) {
    malloc_trim(0);
    CheckDirty(CheckFresh(size, "released"), size);
  }
  for (size_t size = kSmallest; size <= kLargest / 2; size *= 2) {
    malloc_trim(0);
    CheckDirty(CheckFresh(size + 12345, "released"), size + 12345);
  }
  return 0;
}

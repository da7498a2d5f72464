// SPDX-License-Identifier: Apache-2.0
//
// A program that never allocates gets no heap: when main begins, none of its address space is one.
// Pointers can be looked up all the same, and the first malloc makes the heap.

#include <malloc.h>

#include "tests/override/check.h"

namespace {

// The number of mappings that start between `low` and `high`. Allocates nothing.
int MappingsBetween(uintptr_t low, uintptr_t high) {
  static char text[1 << 16];
  const int file = open("/proc/self/maps", O_RDONLY);
  CHECK(file >= 0, "/proc/self/maps can't be read");
  size_t size = 0;
  for (;;) {
    const ssize_t got = read(file, text + size, sizeof(text) - 1 - size);
    if (got <= 0) break;
    size += static_cast<size_t>(got);
  }
  close(file);
  text[size] = '\0';
  int count = 0;
  for (char* line = text; *line != '\0';) {
    const uintptr_t start = strtoull(line, nullptr, 16);
    count += start >= low && start < high;
    char* const end = strchr(line, '\n');
    if (end == nullptr) break;
    line = end + 1;
  }
  return count;
}

// Where the heap is placed on a machine with addresses of 47 bits.
int HeapMappings() { return MappingsBetween(uintptr_t{1} << 44, uintptr_t{1} << 45); }

}  // namespace

int main() {
  CHECK(HeapMappings() == 0, "there is a heap before the first malloc");
  void* const null = check::Hide(static_cast<void*>(nullptr));
  free(null);
  CHECK(malloc_usable_size(null) == 0, "NULL has a size");
  CHECK(HeapMappings() == 0, "there is a heap after free(NULL)");
  void* const block = check::Hide(malloc(100));
  CHECK(block != nullptr, "malloc failed");
  if (reinterpret_cast<uintptr_t>(block) >> 44 != 1) SKIP("the heap is elsewhere");
  CHECK(HeapMappings() > 0, "there is no heap after the first malloc");
  free(block);
  return 0;
}

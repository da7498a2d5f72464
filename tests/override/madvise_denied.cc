// SPDX-License-Identifier: Apache-2.0
//
// With madvise refused from the start the heap serves, calloc stays zero over reused memory, and
// freed memory is still reused instead of being lost.

#include <errno.h>
#include <malloc.h>

#include "tests/override/check.h"
#include "tests/override/seccomp_filter.h"

int main() {
  seccomp_filter::Deny({SYS_madvise}, EPERM);
  for (int round = 0; round < 8; ++round) {
    void* blocks[200];
    size_t sizes[200];
    for (int i = 0; i < 200; ++i) {
      sizes[i] = static_cast<size_t>(i + 1) * 1999 * (i % 10 == 0 ? 10 : 1);
      blocks[i] = malloc(sizes[i]);
      CHECK(blocks[i] != nullptr, "malloc(%zu) failed", sizes[i]);
      check::Fill(blocks[i], sizes[i], i);
    }
    for (int i = 0; i < 200; ++i) {
      CHECK(check::Holds(blocks[i], sizes[i], i), "a block of %zu changed", sizes[i]);
      free(blocks[i]);
    }
    malloc_trim(0);
    void* zero = calloc(1, static_cast<size_t>(round + 1) << 18);
    CHECK(zero != nullptr && check::IsZero(zero, static_cast<size_t>(round + 1) << 18),
          "calloc is not zero");
    free(zero);
  }
  size_t resident = check::ResidentBytes();
  CHECK(resident < (400u << 20), "%zu bytes resident after eight rounds", resident);
  return 0;
}

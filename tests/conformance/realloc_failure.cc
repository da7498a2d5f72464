// SPDX-License-Identifier: Apache-2.0
//
// A realloc that cannot grow returns NULL and ENOMEM and leaves the block as it was: same
// contents, same usable size, still to be freed. Both for impossible sizes and under RLIMIT_AS.

#include <errno.h>
#include <malloc.h>
#include <sys/resource.h>

#include <initializer_list>

#include "tests/override/check.h"

int main() {
  const size_t kSizes[] = {1, 16, 100, 1000, 5000, 30000, 100000, 1u << 20, 5u << 20};
  void* blocks[9];
  size_t usable[9];
  for (int i = 0; i < 9; ++i) {
    blocks[i] = malloc(kSizes[i]);
    usable[i] = malloc_usable_size(blocks[i]);
    check::Fill(blocks[i], kSizes[i], i);
  }
  for (int round = 0; round < 2; ++round) {
    size_t too_much = PTRDIFF_MAX;
    if (round == 1) {
      rlimit limit;
      getrlimit(RLIMIT_AS, &limit);
      limit.rlim_cur = check::AddressSpaceBytes() + (64u << 20);
      CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "cannot set RLIMIT_AS");
      // More than any allocator has kept in reserve: twice what is mapped now.
      too_much = check::AddressSpaceBytes() * 2 + (1u << 30);
    }
    for (int i = 0; i < 9; ++i) {
      for (int attempt = 0; attempt < 20; ++attempt) {
        errno = 0;
        void* result = realloc(blocks[i], check::Hide(too_much));
        CHECK(result == nullptr && errno == ENOMEM, "realloc(%zu -> %zu) = %p, errno %d", kSizes[i],
              too_much, result, errno);
      }
      CHECK(check::Holds(blocks[i], kSizes[i], i), "the block of %zu changed", kSizes[i]);
      CHECK(malloc_usable_size(blocks[i]) == usable[i], "the size of %zu changed", kSizes[i]);
    }
  }
  for (void* block : blocks) free(block);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// When munmap fails (as it may: splitting a mapping can exceed a limit), free succeeds all the
// same, errno is preserved, and the memory is reused: the address space stays bounded.

#include <errno.h>

#include "tests/override/check.h"
#include "tests/override/seccomp_filter.h"

int main() {
  seccomp_filter::Deny({SYS_munmap, SYS_mremap}, ENOMEM);
  size_t before = 0;
  for (int round = 0; round < 300; ++round) {
    for (size_t size = 1000; size < (64u << 20); size = size * 2 + 77) {
      char* block = static_cast<char*>(malloc(size));
      CHECK(block != nullptr, "malloc(%zu) failed", size);
      block[0] = block[size - 1] = 1;
      errno = 777;
      free(block);
      CHECK(errno == 777, "free of %zu set errno %d", size, errno);
    }
    if (round == 20) before = check::AddressSpaceBytes();
  }
  size_t after = check::AddressSpaceBytes();
  // One round is 130 MiB; 280 of them lost would be 36 GiB.
  CHECK(after < before + (1u << 30), "the address space grew from %zu to %zu", before, after);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Frees an address on a huge page boundary inside a block of many.

#include "tests/misuse/misuse.h"

int main() {
  char* block = static_cast<char*>(misuse::Allocate(misuse::kHuge));
  misuse::Announce(block + (size_t{8} << 20));
  free(misuse::Hide(block + (size_t{8} << 20)));
  return 0;
}

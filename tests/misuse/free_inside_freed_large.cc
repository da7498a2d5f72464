// SPDX-License-Identifier: Apache-2.0
//
// Frees an address inside a large block that was freed before.

#include "tests/misuse/misuse.h"

int main() {
  char* block = static_cast<char*>(misuse::Allocate(misuse::kLarge));
  free(block);
  misuse::Announce(block + 65536);
  free(misuse::Hide(block + 65536));
  return 0;
}

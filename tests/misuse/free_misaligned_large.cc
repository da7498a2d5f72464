// SPDX-License-Identifier: Apache-2.0
//
// Frees a large block's address plus one.

#include "tests/misuse/misuse.h"

int main() {
  char* block = static_cast<char*>(misuse::Allocate(misuse::kLarge));
  misuse::Announce(block + 1);
  free(misuse::Hide(block + 1));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Frees an address inside a small block.

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  char* block = static_cast<char*>(misuse::Allocate(misuse::kSmall));
  misuse::Announce(block + 32);
  free(misuse::Hide(block + 32));
  return 0;
}

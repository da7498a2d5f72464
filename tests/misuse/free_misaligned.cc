// SPDX-License-Identifier: Apache-2.0
//
// Frees a small block's address plus one.

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  char* block = static_cast<char*>(misuse::Allocate(misuse::kSmall));
  misuse::Announce(block + 1);
  free(misuse::Hide(block + 1));
  return 0;
}

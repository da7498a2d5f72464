// SPDX-License-Identifier: Apache-2.0
//
// Frees an address beside a live block, where the heap has handed out nothing.

#include "tests/misuse/misuse.h"

int main() {
  char* block = static_cast<char*>(misuse::Allocate(misuse::kSmall));
  char* beyond = block + (size_t{1} << 38);
  misuse::Announce(beyond);
  free(misuse::Hide(beyond));
  return 0;
}

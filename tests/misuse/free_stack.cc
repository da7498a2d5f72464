// SPDX-License-Identifier: Apache-2.0
//
// Frees an address on the stack.

#include "tests/misuse/misuse.h"

int main() {
  alignas(64) char buffer[256];
  memset(misuse::Hide(&buffer[0]), 1, sizeof(buffer));
  misuse::Announce(buffer);
  free(misuse::Hide(&buffer[0]));
  return 0;
}

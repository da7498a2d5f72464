// SPDX-License-Identifier: Apache-2.0
//
// Reallocates an address on the stack.

#include "tests/misuse/misuse.h"

int main() {
  alignas(64) char buffer[256];
  memset(misuse::Hide(&buffer[0]), 1, sizeof(buffer));
  misuse::Announce(buffer);
  misuse::Hide(realloc(misuse::Hide(static_cast<void*>(buffer)), 1000));
  return 0;
}

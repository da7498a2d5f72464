// SPDX-License-Identifier: Apache-2.0
//
// Frees an address inside a block of some kilobytes.

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(3000);
  char* block = static_cast<char*>(misuse::Allocate(3000));
  misuse::Announce(block + 1024);
  free(misuse::Hide(block + 1024));
  return 0;
}

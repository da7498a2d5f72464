// SPDX-License-Identifier: Apache-2.0
//
// Frees a block of a megabyte twice.

#include "tests/misuse/misuse.h"

int main() {
  void* block = misuse::Allocate(misuse::kLarge);
  misuse::Announce(block);
  free(block);
  free(misuse::Hide(block));
  return 0;
}

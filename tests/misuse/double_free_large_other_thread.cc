// SPDX-License-Identifier: Apache-2.0
//
// Frees a block of a megabyte here and again on another thread.

#include "tests/misuse/misuse.h"

int main() {
  misuse::SecondThread second;
  void* block = misuse::Allocate(misuse::kLarge);
  misuse::Announce(block);
  free(block);
  second.Free(misuse::Hide(block));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Grows a block of a megabyte that was freed.

#include "tests/misuse/misuse.h"

int main() {
  void* block = misuse::Allocate(misuse::kLarge);
  misuse::Announce(block);
  free(block);
  misuse::Hide(realloc(misuse::Hide(block), 3 * misuse::kLarge));
  return 0;
}

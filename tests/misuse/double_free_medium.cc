// SPDX-License-Identifier: Apache-2.0
//
// Frees a block twice that has its span to itself and is cached by its thread.

#include "tests/misuse/misuse.h"

int main() {
  void* block = misuse::Allocate(100000);
  misuse::Announce(block);
  free(block);
  free(misuse::Hide(block));
  malloc_trim(0);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Grows a small block that was freed.

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  void* block = misuse::Allocate(misuse::kSmall);
  misuse::Announce(block);
  free(block);
  misuse::Hide(realloc(misuse::Hide(block), 5000));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Frees a small block twice in a row.

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  void* block = misuse::Allocate(misuse::kSmall);
  misuse::Announce(block);
  free(block);
  free(misuse::Hide(block));
  return 0;
}

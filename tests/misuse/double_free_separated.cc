// SPDX-License-Identifier: Apache-2.0
//
// Frees a small block twice, another block of its size between.

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  void* block = misuse::Allocate(misuse::kSmall);
  void* other = misuse::Allocate(misuse::kSmall);
  misuse::Announce(block);
  free(block);
  free(other);
  free(misuse::Hide(block));
  return 0;
}

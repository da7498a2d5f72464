// SPDX-License-Identifier: Apache-2.0
//
// Frees a large block twice where the report cannot be written.

#include "tests/misuse/misuse.h"

int main() {
  void* block = misuse::Allocate(misuse::kLarge);
  misuse::Announce(block);
  close(STDERR_FILENO);
  free(block);
  free(misuse::Hide(block));
  return 0;
}

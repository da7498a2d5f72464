// SPDX-License-Identifier: Apache-2.0
//
// Frees a small block here and again on another thread.

#include "tests/misuse/misuse.h"

int main() {
  misuse::SecondThread second;
  misuse::Flood flood(misuse::kSmall);
  void* block = misuse::Allocate(misuse::kSmall);
  misuse::Announce(block);
  free(block);
  second.Free(misuse::Hide(block));
  return 0;
}

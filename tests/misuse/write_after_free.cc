// SPDX-License-Identifier: Apache-2.0
//
// Scribbles over freed blocks; the heap keeps no state there and goes on.

#include "tests/misuse/misuse.h"

int main() {
  static char* blocks[2000];
  for (char*& block : blocks) block = static_cast<char*>(misuse::Allocate(misuse::kSmall));
  for (char* block : blocks) free(block);
  for (char* block : blocks) memset(misuse::Hide(block), 0xff, misuse::kSmall);
  {
    misuse::Flood flood(misuse::kSmall);
  }
  misuse::Flood again(misuse::kSmall);
  return 0;
}

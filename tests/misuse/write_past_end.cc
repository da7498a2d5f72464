// SPDX-License-Identifier: Apache-2.0
//
// Writes past the end of a block into its neighbour; the heap goes on.

#include "tests/misuse/misuse.h"

int main() {
  static char* blocks[2000];
  for (char*& block : blocks) block = static_cast<char*>(misuse::Allocate(misuse::kSmall));
  for (int i = 500; i < 1500; ++i) {
    memset(misuse::Hide(blocks[i] + malloc_usable_size(blocks[i])), 0xff, 16);
    memset(misuse::Hide(blocks[i] - 16), 0xff, 16);
  }
  for (char* block : blocks) free(block);
  {
    misuse::Flood flood(misuse::kSmall);
  }
  misuse::Flood again(misuse::kSmall);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Frees a small block, empties the caches so that it is back in its span, and frees it again.

#include "tests/misuse/misuse.h"

int main() {
  void* block = misuse::Allocate(misuse::kSmall);
  misuse::Flood flood(misuse::kSmall);
  misuse::Announce(block);
  free(block);
  flood.FreeHalf();
  free(misuse::Hide(block));
  return 0;
}

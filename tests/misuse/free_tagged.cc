// SPDX-License-Identifier: Apache-2.0
//
// Frees a small block's address with a tag in its top byte.

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  size_t address = reinterpret_cast<size_t>(misuse::Allocate(misuse::kSmall));
  void* tagged = reinterpret_cast<void*>(address | (size_t{0xab} << 56));
  misuse::Announce(tagged);
  free(misuse::Hide(tagged));
  return 0;
}

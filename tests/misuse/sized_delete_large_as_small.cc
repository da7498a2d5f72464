// SPDX-License-Identifier: Apache-2.0
//
// Deletes a block of a megabyte as one of 64 bytes.

#include <new>

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  void* block = misuse::Hide(::operator new(misuse::kLarge));
  misuse::Announce(block);
  ::operator delete(block, misuse::Hide(misuse::kSmall));
  return 0;
}

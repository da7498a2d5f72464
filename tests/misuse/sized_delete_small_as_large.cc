// SPDX-License-Identifier: Apache-2.0
//
// Deletes a block of 64 bytes as one of a megabyte.

#include <new>

#include "tests/misuse/misuse.h"

int main() {
  void* block = misuse::Hide(::operator new(misuse::kSmall));
  misuse::Announce(block);
  ::operator delete(block, misuse::Hide(misuse::kLarge));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Deletes a block of 16 bytes as one of 512.

#include <new>

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(512);
  void* block = misuse::Hide(::operator new(16));
  misuse::Announce(block);
  ::operator delete(block, misuse::Hide(size_t{512}));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Deletes a block of 512 bytes as one of 16.

#include <new>

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(16);
  void* block = misuse::Hide(::operator new(512));
  misuse::Announce(block);
  ::operator delete(block, misuse::Hide(size_t{16}));
  return 0;
}

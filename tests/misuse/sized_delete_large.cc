// SPDX-License-Identifier: Apache-2.0
//
// Deletes a block of a megabyte as one of 64 KiB more.

#include <new>

#include "tests/misuse/misuse.h"

int main() {
  void* block = misuse::Hide(::operator new(misuse::kLarge));
  misuse::Announce(block);
  ::operator delete(block, misuse::Hide(misuse::kLarge + 65536));
  return 0;
}

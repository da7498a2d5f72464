// SPDX-License-Identifier: Apache-2.0
//
// Frees an address in the middle of nowhere.

#include "tests/misuse/misuse.h"

int main() {
  void* wild = reinterpret_cast<void*>(size_t{0x345678901000});
  misuse::Announce(wild);
  free(misuse::Hide(wild));
  return 0;
}

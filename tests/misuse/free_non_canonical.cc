// SPDX-License-Identifier: Apache-2.0
//
// Frees an address no processor can form.

#include "tests/misuse/misuse.h"

int main() {
  void* wild = reinterpret_cast<void*>(size_t{0xdead00000000beb0});
  misuse::Announce(wild);
  free(misuse::Hide(wild));
  return 0;
}

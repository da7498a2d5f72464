// SPDX-License-Identifier: Apache-2.0
//
// Frees a small integer.

#include "tests/misuse/misuse.h"

int main() {
  void* low = reinterpret_cast<void*>(size_t{0x40});
  misuse::Announce(low);
  free(misuse::Hide(low));
  return 0;
}

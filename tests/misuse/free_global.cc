// SPDX-License-Identifier: Apache-2.0
//
// Frees a global variable.

#include "tests/misuse/misuse.h"

int main() {
  alignas(64) static char buffer[256];
  misuse::Announce(buffer);
  free(misuse::Hide(&buffer[0]));
  return 0;
}

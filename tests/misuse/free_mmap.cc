// SPDX-License-Identifier: Apache-2.0
//
// Frees a mapping of the program's own.

#include <sys/mman.h>

#include "tests/misuse/misuse.h"

int main() {
  void* mapping =
      mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  misuse::Announce(mapping);
  free(misuse::Hide(mapping));
  return 0;
}

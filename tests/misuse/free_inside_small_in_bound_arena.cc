// SPDX-License-Identifier: Apache-2.0
//
// A thread that is bound to an explicit arena frees a pointer into a small block of it.

#include "tests/misuse/misuse.h"
#include "tests/override/arenas.h"

int main() {
  CHECK(arenas::Bind(arenas::Create()) == 0, "cannot bind the thread");
  free(misuse::Allocate(misuse::kSmall));
  char* block = static_cast<char*>(misuse::Allocate(misuse::kSmall));
  misuse::Announce(block + 16);
  free(misuse::Hide(block + 16));
  return 0;
}

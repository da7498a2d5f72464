// SPDX-License-Identifier: Apache-2.0
//
// Frees a block of an explicit arena that was destroyed.

#include "tests/misuse/misuse.h"
#include "tests/override/arenas.h"

int main() {
  const unsigned arena = arenas::Create();
  void* block = arenas::Mallocx(100, arenas::In(arena));
  misuse::Announce(block);
  CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
  free(misuse::Hide(block));
  return 0;
}

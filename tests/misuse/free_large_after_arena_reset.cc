// SPDX-License-Identifier: Apache-2.0
//
// Frees a large block of an explicit arena that was reset.

#include "tests/misuse/misuse.h"
#include "tests/override/arenas.h"

int main() {
  const unsigned arena = arenas::Create();
  void* block = arenas::Mallocx(size_t{3} << 20, arenas::In(arena));
  misuse::Announce(block);
  CHECK(arenas::Do(arena, "reset") == 0, "reset failed");
  free(misuse::Hide(block));
  return 0;
}

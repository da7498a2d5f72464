// SPDX-License-Identifier: Apache-2.0
//
// Frees a block of an explicit arena twice.

#include "tests/misuse/misuse.h"
#include "tests/override/arenas.h"

int main() {
  const unsigned arena = arenas::Create();
  void* block = arenas::Mallocx(100, arenas::In(arena));
  void* other = arenas::Mallocx(100, arenas::In(arena));
  CHECK(other != nullptr, "mallocx failed");
  misuse::Announce(block);
  free(block);
  free(misuse::Hide(block));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// A thread that is bound to an explicit arena frees a block of it twice, another block between.

#include "tests/misuse/misuse.h"
#include "tests/override/arenas.h"

int main() {
  const unsigned arena = arenas::Create();
  CHECK(arenas::Bind(arena) == 0, "cannot bind the thread");
  void* block = misuse::Allocate(misuse::kSmall);
  void* other = misuse::Allocate(misuse::kSmall);
  misuse::Announce(block);
  free(block);
  free(other);
  free(misuse::Hide(block));
  arenas::Do(arena, "purge");
  return 0;
}

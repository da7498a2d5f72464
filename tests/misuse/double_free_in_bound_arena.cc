// SPDX-License-Identifier: Apache-2.0
//
// A thread that is bound to an explicit arena frees a block of it twice, one right after the other.

#include "tests/misuse/misuse.h"
#include "tests/override/arenas.h"

int main() {
  CHECK(arenas::Bind(arenas::Create()) == 0, "cannot bind the thread");
  void* other = misuse::Allocate(misuse::kSmall);
  void* block = misuse::Allocate(misuse::kSmall);
  misuse::Announce(block);
  free(other);
  free(block);
  free(misuse::Hide(block));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Calls free_sized with half the size of the block.

#include <dlfcn.h>

#include "tests/misuse/misuse.h"

int main() {
  auto free_sized = reinterpret_cast<void (*)(void*, size_t)>(dlsym(RTLD_DEFAULT, "free_sized"));
  if (free_sized == nullptr) return 77;
  misuse::Flood flood(100);
  void* block = misuse::Allocate(200);
  misuse::Announce(block);
  free_sized(block, misuse::Hide(size_t{100}));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Calls free_aligned_sized with four times the size of the block.

#include <dlfcn.h>

#include "tests/misuse/misuse.h"

int main() {
  auto free_aligned_sized =
      reinterpret_cast<void (*)(void*, size_t, size_t)>(dlsym(RTLD_DEFAULT, "free_aligned_sized"));
  if (free_aligned_sized == nullptr) return 77;
  misuse::Flood flood(512);
  void* block = misuse::Hide(aligned_alloc(64, 128));
  misuse::Announce(block);
  free_aligned_sized(block, 64, misuse::Hide(size_t{512}));
  return 0;
}

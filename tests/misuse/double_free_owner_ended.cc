// SPDX-License-Identifier: Apache-2.0
//
// A thread frees its small block and ends; the block is freed again.

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  static void* block;
  misuse::OnAnotherThread(
      [](void*) -> void* {
        block = misuse::Allocate(misuse::kSmall);
        free(block);
        return nullptr;
      },
      nullptr);
  misuse::Announce(block);
  free(misuse::Hide(block));
  return 0;
}

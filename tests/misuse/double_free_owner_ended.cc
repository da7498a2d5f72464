// SPDX-License-Identifier: Apache-2.0
//
// A thread frees its small block and ends; the block is freed again.

#include "tests/misuse/misuse.h"

namespace {

void* AllocateAndFree(void* slot) {
  void* block = misuse::Allocate(misuse::kSmall);
  free(block);
  *static_cast<void**>(slot) = block;
  return nullptr;
}

}  // namespace

int main() {
  misuse::Flood flood(misuse::kSmall);
  void* block = nullptr;
  pthread_t thread;
  if (pthread_create(&thread, nullptr, AllocateAndFree, &block) != 0) _exit(3);
  pthread_join(thread, nullptr);
  misuse::Announce(block);
  free(misuse::Hide(block));
  return 0;
}

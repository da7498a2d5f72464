// SPDX-License-Identifier: Apache-2.0
//
// No fault to this allocator: aligned new meets plain delete and free.

#include <new>

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  ::operator delete(misuse::Hide(::operator new(misuse::kSmall, std::align_val_t(64))));
  ::operator delete(misuse::Hide(::operator new(3000, std::align_val_t(4096))));
  free(misuse::Hide(::operator new(misuse::kLarge, std::align_val_t(1 << 16))));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// No fault to this allocator: malloc meets delete, sized and plain.

#include <new>

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  ::operator delete(misuse::Allocate(misuse::kSmall));
  ::operator delete(misuse::Allocate(misuse::kSmall), misuse::kSmall);
  ::operator delete[](misuse::Allocate(misuse::kLarge));
  return 0;
}

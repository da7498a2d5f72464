// SPDX-License-Identifier: Apache-2.0
//
// No fault to this allocator: new and new[] meet free and realloc.

#include <new>

#include "tests/misuse/misuse.h"

int main() {
  misuse::Flood flood(misuse::kSmall);
  free(misuse::Hide(::operator new(misuse::kSmall)));
  free(misuse::Hide(::operator new[](misuse::kLarge)));
  free(misuse::Hide(realloc(misuse::Hide(::operator new(misuse::kSmall)), 3000)));
  return 0;
}

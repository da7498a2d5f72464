// SPDX-License-Identifier: Apache-2.0
//
// Frees the address of a function.

#include "tests/misuse/misuse.h"

namespace {

int Function(int value) { return value + 1; }

}  // namespace

int main() {
  void* function = reinterpret_cast<void*>(misuse::Hide(&Function));
  void* aligned = reinterpret_cast<void*>(reinterpret_cast<size_t>(function) & ~size_t{63});
  misuse::Announce(aligned);
  free(misuse::Hide(aligned));
  return 0;
}

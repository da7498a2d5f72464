// SPDX-License-Identifier: Apache-2.0
//
// The heap serves before its own constructors or anyone's have run: in .preinit_array, in the
// earliest constructor and in static initialisation; and those blocks stay whole.

#include <string>

#include "tests/override/check.h"

namespace {

char* from_preinit;
char* from_constructor;

char* AllocateAndFill(size_t size, uint32_t seed) {
  for (size_t other = 1; other < 100000; other *= 3) free(malloc(other));
  char* block = static_cast<char*>(malloc(size));
  if (block != nullptr) check::Fill(block, size, seed);
  return block;
}

void RunInPreinit() { from_preinit = AllocateAndFill(3000, 2); }
__attribute__((section(".preinit_array"), used)) void (*preinit_entry)() = RunInPreinit;

__attribute__((constructor(101))) void RunInConstructor() {
  from_constructor = AllocateAndFill(5000, 3);
}

std::string* at_static_initialisation = new std::string(1000, 'i');

}  // namespace

int main() {
  CHECK(from_preinit != nullptr && check::Holds(from_preinit, 3000, 2), "the .preinit_array block");
  CHECK(from_constructor != nullptr && check::Holds(from_constructor, 5000, 3),
        "the constructor's block");
  CHECK(at_static_initialisation->size() == 1000, "the static object");
  free(from_preinit);
  free(from_constructor);
  delete at_static_initialisation;
  return 0;
}

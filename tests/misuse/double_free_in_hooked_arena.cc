// SPDX-License-Identifier: Apache-2.0
//
// Frees a large block twice that lies in memory which extent hooks gave.

#include <sys/mman.h>

#include "tests/misuse/misuse.h"
#include "tests/override/arenas.h"

namespace {

struct Hooks {
  void* (*alloc)(Hooks*, void*, size_t, size_t, bool*, bool*, unsigned);
  void* others[8];
};

void* Alloc(Hooks*, void*, size_t size, size_t alignment, bool* zero, bool*, unsigned) {
  void* memory =
      mmap(nullptr, size + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  *zero = true;
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  return reinterpret_cast<void*>((begin + alignment - 1) & ~(alignment - 1));
}

Hooks hooks = {&Alloc, {}};

}  // namespace

int main() {
  Hooks* given = &hooks;
  unsigned arena = 0;
  size_t length = sizeof(arena);
  CHECK(arenas::Mallctl("arenas.create", &arena, &length, &given, sizeof(given)) == 0,
        "arenas.create failed");
  void* block = arenas::Mallocx(size_t{3} << 20, arenas::In(arena));
  CHECK(block != nullptr, "mallocx failed");
  misuse::Announce(block);
  free(block);
  free(misuse::Hide(block));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// A block may be freed by the size it was last asked for, whichever call set that size: malloc,
// calloc, realloc up, realloc down, aligned_alloc, new. Sized delete, C23 free_sized and
// free_aligned_sized are tried for every size, and the memory must be reusable afterwards.

#include <dlfcn.h>
#include <malloc.h>

#include <initializer_list>
#include <new>

#include "tests/override/check.h"

namespace {

using FreeSized = void (*)(void*, size_t);
using FreeAlignedSized = void (*)(void*, size_t, size_t);
FreeSized free_sized_entry;                 // null if the library lacks it
FreeAlignedSized free_aligned_sized_entry;  // null if the library lacks it

void FreeWithSize(void* block, size_t size) {
  if (free_sized_entry != nullptr) {
    free_sized_entry(block, size);
  } else {
    free(block);
  }
}

void* Filled(void* block, size_t size) {
  CHECK(block != nullptr, "no memory for %zu", size);
  memset(block, 0x77, size);
  return block;
}

void CheckSize(size_t size) {
  FreeWithSize(Filled(malloc(size), size), size);
  FreeWithSize(Filled(calloc(1, size), size), size);
  for (size_t other : {size / 4 + 1, size / 2 + 1, size - size / 8, size + 1, size + size / 8 + 1,
                       size * 2, size * 4}) {
    FreeWithSize(Filled(realloc(Filled(malloc(other), other), size), size), size);
    if (other < 2048) {
      void* by_new = ::operator new(other);
      ::operator delete(Filled(by_new, other), other);
    }
  }
  ::operator delete(Filled(::operator new(size), size), size);
  ::operator delete[](Filled(::operator new[](size), size), size);
}

void CheckAligned(size_t alignment, size_t size) {
  std::align_val_t align{alignment};
  ::operator delete(Filled(::operator new(size, align), size), size, align);
  ::operator delete[](Filled(::operator new[](size, align), size), size, align);
  void* block = Filled(aligned_alloc(alignment, size), size);
  if (free_aligned_sized_entry != nullptr) {
    free_aligned_sized_entry(block, alignment, size);
  } else {
    free(block);
  }
}

}  // namespace

int main() {
  free_sized_entry = reinterpret_cast<FreeSized>(dlsym(RTLD_DEFAULT, "free_sized"));
  free_aligned_sized_entry =
      reinterpret_cast<FreeAlignedSized>(dlsym(RTLD_DEFAULT, "free_aligned_sized"));
  for (int round = 0; round < 2; ++round) {
    for (size_t size = 1; size <= 9000; ++size) CheckSize(size);
    for (size_t size = 9001; size < (8u << 20); size += size / 9 + 1) CheckSize(size);
  }
  for (size_t alignment = 8; alignment <= 65536; alignment *= 2) {
    for (size_t size = 1; size < 300000; size += size / 10 + 1) CheckAligned(alignment, size);
  }
  if (free_sized_entry != nullptr) free_sized_entry(nullptr, 8);
  if (free_aligned_sized_entry != nullptr) free_aligned_sized_entry(nullptr, 64, 64);
  size_t resident = check::ResidentBytes();
  CHECK(resident < (200u << 20), "%zu bytes are resident after everything was freed", resident);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Every form of operator new meets every form of operator delete that may free it, for small,
// large and over-aligned types; the memory is usable and returns to the heap.

#include <new>

#include "tests/override/check.h"

namespace {

void* Filled(void* block, size_t size, size_t alignment) {
  CHECK(block != nullptr, "new of %zu bytes aligned to %zu is null", size, alignment);
  CHECK(check::IsAligned(block, alignment), "%p is not aligned to %zu", block, alignment);
  memset(block, 0x33, size);
  return block;
}

void Plain(size_t size) {
  ::operator delete(Filled(::operator new(size), size, 8));
  ::operator delete(Filled(::operator new(size), size, 8), size);
  ::operator delete(Filled(::operator new(size), size, 8), std::nothrow);
  ::operator delete(Filled(::operator new(size, std::nothrow), size, 8));
  ::operator delete(Filled(::operator new(size, std::nothrow), size, 8), size);
  ::operator delete(Filled(::operator new(size, std::nothrow), size, 8), std::nothrow);
  ::operator delete[](Filled(::operator new[](size), size, 8));
  ::operator delete[](Filled(::operator new[](size), size, 8), size);
  ::operator delete[](Filled(::operator new[](size), size, 8), std::nothrow);
  ::operator delete[](Filled(::operator new[](size, std::nothrow), size, 8));
  ::operator delete[](Filled(::operator new[](size, std::nothrow), size, 8), std::nothrow);
}

void Aligned(size_t size, size_t alignment) {
  std::align_val_t align{alignment};
  auto scalar = [=] { return Filled(::operator new(size, align), size, alignment); };
  auto array = [=] { return Filled(::operator new[](size, align), size, alignment); };
  auto quiet = [=] { return Filled(::operator new(size, align, std::nothrow), size, alignment); };
  auto quiet_array = [=] {
    return Filled(::operator new[](size, align, std::nothrow), size, alignment);
  };
  ::operator delete(scalar(), align);
  ::operator delete(scalar(), size, align);
  ::operator delete(scalar(), align, std::nothrow);
  ::operator delete(quiet(), align);
  ::operator delete(quiet(), size, align);
  ::operator delete(quiet(), align, std::nothrow);
  ::operator delete[](array(), align);
  ::operator delete[](array(), size, align);
  ::operator delete[](array(), align, std::nothrow);
  ::operator delete[](quiet_array(), align);
  ::operator delete[](quiet_array(), align, std::nothrow);
}

struct alignas(256) Wide {
  char bytes[300];
};

}  // namespace

int main() {
  for (int round = 0; round < 20; ++round) {
    for (size_t size = 0; size < 1100; size += 7) {
      Plain(size);
      Aligned(size, size_t{32} << (size % 8));
    }
  }
  for (size_t size = 1100; size < (16u << 20); size += size / 3) {
    Plain(size);
    Aligned(size, size_t{32} << (size % 12));
  }
  for (int i = 0; i < 1000; ++i) {
    Wide* one = check::Hide(new Wide);
    Wide* many = check::Hide(new Wide[7]);
    CHECK(check::IsAligned(one, 256) && check::IsAligned(many, 256), "an over-aligned type is not");
    delete one;
    delete[] many;
  }
  // 50 forms of up to 16 MiB each, all returned.
  CHECK(check::ResidentBytes() < (128u << 20), "%zu bytes resident", check::ResidentBytes());
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Without a new_handler, each throwing form of operator new throws std::bad_alloc for a size that
// cannot be had, and each nothrow form returns nullptr; hundreds of times, without leaking.

#include <initializer_list>
#include <new>

#include "tests/override/check.h"

namespace {

template <typename Call>
void MustThrow(const char* form, size_t size, Call call) {
  bool thrown = false;
  try {
    void* block = check::Hide(call());
    FAIL("%s(%#zx) returned %p", form, size, block);
  } catch (const std::bad_alloc&) {
    thrown = true;
  } catch (...) {
    FAIL("%s(%#zx) threw something else", form, size);
  }
  CHECK(thrown, "%s(%#zx) did not throw", form, size);
}

void CheckSize(size_t size) {
  size = check::Hide(size);
  std::align_val_t align{64};
  MustThrow("new", size, [=] { return ::operator new(size); });
  MustThrow("new[]", size, [=] { return ::operator new[](size); });
  MustThrow("aligned new", size, [=] { return ::operator new(size, align); });
  MustThrow("aligned new[]", size, [=] { return ::operator new[](size, align); });
  MustThrow("aligned new, large alignment", size,
            [=] { return ::operator new(size, std::align_val_t{1u << 22}); });
  void* results[] = {::operator new(size, std::nothrow), ::operator new[](size, std::nothrow),
                     ::operator new(size, align, std::nothrow),
                     ::operator new[](size, align, std::nothrow)};
  for (void* result : results) CHECK(result == nullptr, "nothrow new(%#zx) = %p", size, result);
}

}  // namespace

int main() {
  for (int round = 0; round < 100; ++round) {
    for (size_t size :
         {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4096, SIZE_MAX - 65536, SIZE_MAX / 2,
          SIZE_MAX / 2 + 1, size_t{PTRDIFF_MAX} - 64, size_t{1} << 62, size_t{1} << 48}) {
      CheckSize(size);
    }
  }
  // The heap still serves.
  int* number = check::Hide(new int(5));
  CHECK(*number == 5, "new int is wrong");
  delete number;
  CHECK(check::ResidentBytes() < (64u << 20), "the failures cost %zu bytes",
        check::ResidentBytes());
  return 0;
}

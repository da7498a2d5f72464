// SPDX-License-Identifier: Apache-2.0
//
// calloc and reallocarray notice that count * size does not fit in a size_t, in either order, and
// leave the old block alone.

#include <errno.h>

#include "tests/override/check.h"

namespace {

void CheckProduct(size_t count, size_t size) {
  count = check::Hide(count);
  size = check::Hide(size);
  errno = 0;
  void* block = calloc(count, size);
  CHECK(block == nullptr && errno == ENOMEM, "calloc(%#zx, %#zx) = %p, errno %d", count, size,
        block, errno);
  errno = 0;
  block = reallocarray(nullptr, count, size);
  CHECK(block == nullptr && errno == ENOMEM, "reallocarray(NULL, %#zx, %#zx) = %p, errno %d", count,
        size, block, errno);
  void* old_block = malloc(300);
  check::Fill(old_block, 300, 3);
  errno = 0;
  block = reallocarray(old_block, count, size);
  CHECK(block == nullptr && errno == ENOMEM, "reallocarray(p, %#zx, %#zx) = %p, errno %d", count,
        size, block, errno);
  CHECK(check::Holds(old_block, 300, 3), "a failed reallocarray changed the old block");
  free(old_block);
}

}  // namespace

int main() {
  const size_t kHalf = size_t{1} << 32;
  CheckProduct(kHalf, kHalf);           // the product is 0 modulo 2^64
  CheckProduct(kHalf + 1, kHalf);       // a small remainder
  CheckProduct(SIZE_MAX, SIZE_MAX);     // the product is 1 modulo 2^64
  CheckProduct(SIZE_MAX / 2 + 1, 2);    // the product is 0
  CheckProduct(SIZE_MAX / 16 + 2, 16);  // the product is 16
  for (size_t size = 2; size < (size_t{1} << 40); size = size * 3 + 1) {
    CheckProduct(SIZE_MAX / size + 1, size);
    CheckProduct(size, SIZE_MAX / size + 1);
  }
  // No overflow: served, and zero.
  unsigned char* block = static_cast<unsigned char*>(calloc(1000, 1000));
  CHECK(block != nullptr && check::IsZero(block, 1000000), "calloc(1000, 1000) is wrong");
  block = static_cast<unsigned char*>(reallocarray(block, 2000, 1000));
  CHECK(block != nullptr && check::IsZero(block, 1000000), "reallocarray lost the contents");
  free(block);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Alignments from a megabyte to half the address space are either honoured or refused with NULL
// and ENOMEM (EINVAL where no such alignment can exist), and never leave the heap broken.

#include <errno.h>
#include <malloc.h>

#include <initializer_list>
#include <new>

#include "tests/override/check.h"

namespace {

void CheckOne(const char* entry, size_t alignment, size_t size, void* block) {
  if (block == nullptr) {
    CHECK(errno == ENOMEM || errno == EINVAL, "%s(%#zx, %zu): errno %d", entry, alignment, size,
          errno);
    CHECK(alignment > (size_t{1} << 30), "%s(%#zx, %zu) was refused", entry, alignment, size);
    return;
  }
  CHECK(check::IsAligned(block, alignment), "%s(%#zx, %zu) = %p", entry, alignment, size, block);
  static_cast<char*>(block)[0] = 1;
  static_cast<char*>(block)[size - 1] = 1;
}

void CheckAlignment(size_t alignment, size_t size) {
  void* block = nullptr;
  errno = 0;
  int result = posix_memalign(&block, alignment, size);
  errno = result;
  CheckOne("posix_memalign", alignment, size, result == 0 ? block : nullptr);
  void* by_aligned_alloc = aligned_alloc(alignment, size);
  CheckOne("aligned_alloc", alignment, size, by_aligned_alloc);
  void* by_memalign = memalign(alignment, size);
  CheckOne("memalign", alignment, size, by_memalign);
  errno = ENOMEM;
  void* by_new = ::operator new(size, std::align_val_t(alignment), std::nothrow);
  CheckOne("aligned new", alignment, size, by_new);
  if (result == 0) free(block);
  free(by_aligned_alloc);
  free(by_memalign);
  ::operator delete(by_new, std::align_val_t(alignment), std::nothrow);
}

}  // namespace

int main() {
  for (int bit = 20; bit < 64; ++bit) {
    for (size_t size : {size_t{1}, size_t{100}, size_t{70000}, size_t{3} << 20}) {
      CheckAlignment(check::Hide(size_t{1} << bit), size);
    }
  }
  // No power of two holds these: rounding up must not become 0 or an endless loop.
  for (size_t alignment : {SIZE_MAX, SIZE_MAX / 2 + 2}) {
    errno = 0;
    void* block = memalign(check::Hide(alignment), 100);
    CHECK(block == nullptr && (errno == EINVAL || errno == ENOMEM), "memalign(%#zx) = %p, errno %d",
          alignment, block, errno);
  }
  // An alignment and a size that are fine alone and too much together.
  errno = 0;
  void* block = memalign(check::Hide(size_t{1} << 46), check::Hide(size_t{1} << 47));
  CHECK(block == nullptr && errno == ENOMEM, "memalign(1<<46, 1<<47) = %p, errno %d", block, errno);
  // Sixteen gigabyte-aligned blocks alive at once are different and usable.
  char* blocks[16];
  for (char*& each : blocks) {
    each = static_cast<char*>(memalign(size_t{1} << 30, 1000));
    CHECK(each != nullptr, "a 1 GiB aligned block was refused");
    check::Fill(each, 1000, static_cast<uint32_t>(&each - blocks));
  }
  for (char*& each : blocks) {
    CHECK(check::Holds(each, 1000, static_cast<uint32_t>(&each - blocks)), "blocks overlap");
    free(each);
  }
  return 0;
}

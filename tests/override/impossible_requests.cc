// SPDX-License-Identifier: Apache-2.0
//
// A request that no heap could ever serve fails at once: what is free stays, for the next one.

#include <errno.h>
#include <malloc.h>

#include <initializer_list>
#include <new>

#include "tests/override/check.h"
#include "tests/override/statistics.h"

namespace {

constexpr size_t kFree = 64u << 20;
constexpr size_t kBlock = 100'000;

// Free memory that the heap keeps: what was written and freed.
void MakeFree() {
  static void* blocks[kFree / kBlock];
  for (void*& block : blocks) memset(block = malloc(kBlock), 1, kBlock);
  for (void* block : blocks) free(block);
}

void CheckAll(size_t alignment, size_t size) {
  using Mallocx = void* (*)(size_t, int);
  static const Mallocx mallocx = statistics::Find<Mallocx>("mallocx");
  alignment = check::Hide(alignment);
  size = check::Hide(size);
  errno = 0;
  CHECK(aligned_alloc(alignment, size) == nullptr && errno == ENOMEM, "aligned_alloc: %d", errno);
  errno = 0;
  CHECK(memalign(alignment, size) == nullptr && errno == ENOMEM, "memalign: errno %d", errno);
  void* block = nullptr;
  const int error = posix_memalign(&block, alignment, size);
  CHECK(error == ENOMEM && block == nullptr, "posix_memalign: %d", error);
  block = ::operator new(size, std::align_val_t(alignment), std::nothrow);
  CHECK(block == nullptr, "aligned new");
  for (int zero : {0, 0x40}) {
    block = mallocx(size, __builtin_ctzll(alignment) | zero);
    CHECK(block == nullptr, "mallocx(%zu, %zu)", size, alignment);
  }
  if (alignment != 16) return;
  errno = 0;
  CHECK(malloc(size) == nullptr && errno == ENOMEM, "malloc: errno %d", errno);
  errno = 0;
  CHECK(calloc(1, size) == nullptr && errno == ENOMEM, "calloc: errno %d", errno);
  block = malloc(50);
  errno = 0;
  CHECK(realloc(block, size) == nullptr && errno == ENOMEM, "realloc: errno %d", errno);
  free(block);
}

}  // namespace

int main() {
  MakeFree();
  const size_t before = check::ResidentBytes();
  CHECK(before >= kFree, "%zu MiB resident", before >> 20);
  for (int bit : {42, 43, 46, 47, 48, 62, 63}) CheckAll(size_t{1} << bit, 64);
  for (int bit : {42, 46, 47, 48, 60, 62}) CheckAll(16, size_t{1} << bit);
  CheckAll(16, SIZE_MAX / 2);
  CheckAll(size_t{1} << 62, size_t{1} << 62);
  const size_t after = check::ResidentBytes();
  CHECK(after + (8u << 20) >= before, "%zu MiB of %zu MiB are left", after >> 20, before >> 20);
  return 0;
}

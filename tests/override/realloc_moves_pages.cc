// SPDX-License-Identifier: Apache-2.0
//
// A large block that realloc makes larger keeps its contents without being copied, wherever the
// kernel can move its pages to a fresh place: after it was shrunk, with parts of it released, at an
// alignment, in an explicit arena, in a forked child. Where the kernel refuses to move pages, the
// block is copied.

#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <initializer_list>

#include "tests/override/check.h"
#include "tests/override/seccomp_filter.h"
#include "tests/override/statistics.h"

namespace {

using Rallocx = void* (*)(void*, size_t, int);
using Mallocx = void* (*)(size_t, int);

constexpr size_t kMiB = size_t{1} << 20;

Mallocx mallocx;
Rallocx rallocx;

uint64_t CopiedBytes() { return statistics::Read("spanmalloc.realloc.copied_bytes"); }
uint64_t RemappedBytes() { return statistics::Read("spanmalloc.realloc.remapped_bytes"); }
uint64_t InPlaceBytes() { return statistics::Read("spanmalloc.realloc.in_place_bytes"); }

// Grows a block that can't grow where it is, since others are behind it.
void* Grow(void* block, size_t size, size_t more, int flags) {
  void* neighbours[4];
  for (void*& neighbour : neighbours) neighbour = mallocx(size, flags);
  malloc_trim(0);
  const uint64_t copied = CopiedBytes();
  const uint64_t kept = RemappedBytes() + InPlaceBytes();
  check::Fill(block, size, 3);
  void* result = rallocx(block, more, flags);
  CHECK(result != nullptr, "rallocx to %zu failed", more);
  CHECK(check::Holds(result, size, 3), "%zu to %zu: the contents changed", size, more);
  CHECK(CopiedBytes() == copied, "%zu to %zu, flags %x: %zu bytes were copied", size, more, flags,
        static_cast<size_t>(CopiedBytes() - copied));
  CHECK(RemappedBytes() + InPlaceBytes() > kept, "%zu to %zu, flags %x: neither moved nor grown",
        size, more, flags);
  for (void* neighbour : neighbours) free(neighbour);
  return result;
}

void GrowInEveryWay(int flags) {
  for (size_t size : {300000ul, 1 * kMiB, 3 * kMiB / 2, 2 * kMiB, 5 * kMiB}) {
    // Within and across huge pages.
    for (size_t more : {size + size / 8, size + 2 * kMiB}) {
      void* block = Grow(mallocx(size, flags), size, more, flags);
      block = Grow(block, more, 2 * more, flags);
      // Shrunk, and grown again.
      block = rallocx(block, size, flags);
      block = Grow(block, size, 3 * more, flags);
      // Partly released.
      const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
      char* middle = static_cast<char*>(block) + 3 * more / 2;
      middle -= reinterpret_cast<uintptr_t>(middle) % page;
      CHECK(madvise(middle, 16 * page, MADV_DONTNEED) == 0, "madvise failed");
      block = Grow(block, 3 * more, 4 * more, flags);
      free(block);
    }
  }
}

}  // namespace

int main() {
  mallocx = statistics::Find<Mallocx>("mallocx");
  rallocx = statistics::Find<Rallocx>("rallocx");
  GrowInEveryWay(0);
  CHECK(RemappedBytes() > 20 * kMiB, "pages were hardly ever moved");
  GrowInEveryWay(12);  // the alignment's logarithm
  GrowInEveryWay(16);
  GrowInEveryWay(22);
  const auto mallctl = statistics::Find<statistics::Mallctl>("mallctl");
  unsigned arena = 0;
  size_t length = sizeof(arena);
  CHECK(mallctl("arenas.create", &arena, &length, nullptr, 0) == 0, "no arena");
  GrowInEveryWay(static_cast<int>((arena + 1) << 20));

  // Of a block that is cut down to a small one, what is kept is copied.
  void* cut = malloc(kMiB);
  check::Fill(cut, 100, 7);
  const uint64_t before = CopiedBytes();
  cut = realloc(cut, 100);
  CHECK(check::Holds(cut, 100, 7), "cut down, the contents changed");
  CHECK(CopiedBytes() == before + 100, "cut down, %zu bytes count as copied",
        static_cast<size_t>(CopiedBytes() - before));
  free(cut);

  void* block = malloc(8 * kMiB);
  check::Fill(block, 8 * kMiB, 5);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    CHECK(check::Holds(block, 8 * kMiB, 5), "the child's copy differs");
    Grow(block, 8 * kMiB, 20 * kMiB, 0);
    return 0;
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed");
  CHECK(check::Holds(block, 8 * kMiB, 5), "the parent's block changed");

  seccomp_filter::Deny({SYS_mremap}, ENOMEM);
  const uint64_t copied = CopiedBytes();
  void* wall = malloc(8 * kMiB);
  block = realloc(block, 50 * kMiB);
  CHECK(block != nullptr && check::Holds(block, 8 * kMiB, 5), "a copied block differs");
  void* other = malloc(40 * kMiB);
  memset(other, 1, 40 * kMiB);
  void* another_wall = malloc(40 * kMiB);
  other = realloc(other, 200 * kMiB);
  CHECK(other != nullptr, "realloc failed");
  CHECK(CopiedBytes() > copied, "nothing was copied although the kernel moves no pages");
  free(wall);
  free(another_wall);
  return 0;
}

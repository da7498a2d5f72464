// SPDX-License-Identifier: Apache-2.0
//
// A program in a cgroup frees nine tenths of its memory just below the limit and then wants as much
// in other sizes, in several rounds, and isn't killed; the library has seen the limit.

#include <initializer_list>

#include "tests/override/cgroup.h"
#include "tests/override/check.h"
#include "tests/override/limits.h"

namespace {

constexpr size_t kLimit = 128u << 20;
constexpr size_t kFill = 112u << 20;

void* Take(size_t size, size_t bytes) {
  void* last = nullptr;
  for (size_t made = 0; made < bytes; made += size) {
    void* block = malloc(size);
    CHECK(block != nullptr, "malloc(%zu) failed in the cgroup", size);
    memset(block, 1, size);
    *static_cast<void**>(block) = last;
    last = block;
  }
  return last;
}

int RunInside() {
  // Rounded up, blocks of these sizes take little more.
  for (size_t size : {size_t{64}, size_t{1024}, size_t{8192}, size_t{512} << 10}) {
    void* kept = check::FreeNineOfTen(Take(size, kFill), size);
    for (size_t other : {size_t{128}, size_t{2048}, size_t{32768}, size_t{1} << 20}) {
      void* more = Take(other, kLimit / 2);
      check::FreeAll(more);
    }
    check::FreeAll(kept);
  }
  if (dlsym(RTLD_DEFAULT, "spanmalloc_version") == nullptr) return 0;
  CHECK(check::Statistic("spanmalloc.limit.group.max") == kLimit, "the limit wasn't seen");
  CHECK(check::Statistic("spanmalloc.limit.passes") > 0, "no pass is counted");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return RunInside();
  const check::Cgroup group("memory");
  group.LimitMemory("134217728\n");
  return group.RunInside(argv[0]);
}

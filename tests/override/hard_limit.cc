// SPDX-License-Identifier: Apache-2.0
//
// At the hard limit allocations fail with ENOMEM, whatever their size and way, new calls its
// handler and throws, and blocks stay whole; after something was freed the program goes on, also
// with blocks of other sizes. A limit that is lifted at run time is gone.

#include <errno.h>
#include <malloc.h>

#include <initializer_list>
#include <new>

#include "tests/override/check.h"
#include "tests/override/limits.h"

namespace {

constexpr size_t kLimit = 64u << 20;

// Blocks in a list through their first word.
void* Fill(size_t size, size_t* bytes) {
  void* last = nullptr;
  *bytes = 0;
  for (;;) {
    errno = 0;
    void* block = malloc(size);
    if (block == nullptr) break;
    CHECK(*bytes < 2 * kLimit, "no limit for blocks of %zu bytes", size);
    memset(block, 1, size);
    *static_cast<void**>(block) = last;
    last = block;
    *bytes += size;
  }
  CHECK(errno == ENOMEM, "errno is %d", errno);
  return last;
}

int handler_calls = 0;
void* spare = nullptr;
void GiveUpSpare() {
  ++handler_calls;
  if (spare == nullptr) {
    std::set_new_handler(nullptr);
  } else {
    free(spare);
    spare = nullptr;
  }
}

void CheckEverySize() {
  for (size_t size :
       {size_t{16}, size_t{100}, size_t{3000}, size_t{40000}, size_t{300} << 10, size_t{3} << 20}) {
    size_t bytes = 0;
    void* last = Fill(size, &bytes);
    // Sizes that are rounded up, and memory for the thread's start, cost something.
    CHECK(bytes > kLimit / 2, "only %zu MiB in blocks of %zu", bytes >> 20, size);
    CHECK(check::ResidentBytes() < kLimit + (24u << 20), "%zu MiB are resident",
          check::ResidentBytes() >> 20);
    // Of a size that isn't there.
    errno = 0;
    CHECK(calloc(1, size_t{8} << 20) == nullptr && errno == ENOMEM, "calloc beyond the limit");
    CHECK(realloc(last, size_t{8} << 20) == nullptr && errno == ENOMEM, "realloc beyond it");
    CHECK(memalign(4096, size_t{8} << 20) == nullptr, "memalign beyond it");
    check::FreeAll(last);
  }
}

// Nine of ten blocks are freed, and their memory serves blocks of other sizes.
void CheckOtherSizesAfterFree() {
  for (size_t size : {size_t{64}, size_t{1000}, size_t{6000}}) {
    size_t bytes = 0;
    void* kept = check::FreeNineOfTen(Fill(size, &bytes), size);
    for (size_t other : {size_t{200}, size_t{5000}, size_t{100000}, size_t{1} << 20}) {
      void* last = nullptr;
      size_t made = 0;
      for (; made < kLimit / 4; made += other) {
        void* block = malloc(other);
        CHECK(block != nullptr,
              "no %zu bytes after %zu MiB of blocks of %zu were freed, at %zu MiB", other,
              bytes >> 20, size, made >> 20);
        memset(block, 2, other);
        *static_cast<void**>(block) = last;
        last = block;
      }
      check::FreeAll(last);
    }
    check::FreeAll(kept);
  }
}

void CheckNewHandler() {
  spare = malloc(16u << 20);
  CHECK(spare != nullptr, "no spare");
  size_t bytes = 0;
  void* last = Fill(1u << 20, &bytes);
  std::set_new_handler(GiveUpSpare);
  void* block = operator new(8u << 20);
  CHECK(handler_calls == 1, "the handler was called %d times", handler_calls);
  bool thrown = false;
  void* more = nullptr;
  try {
    more = operator new(12u << 20);
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  CHECK(thrown && handler_calls == 2, "no bad_alloc");
  CHECK(operator new(12u << 20, std::nothrow) == nullptr, "nothrow new beyond the limit");
  operator delete(more);
  operator delete(block);
  check::FreeAll(last);
}

// In an arena of the program's own, too.
void CheckArena() {
  const auto allocate = reinterpret_cast<void* (*)(size_t, int)>(dlsym(RTLD_DEFAULT, "mallocx"));
  unsigned arena = 0;
  size_t length = sizeof(arena);
  CHECK(check::FindMallctl()("arenas.create", &arena, &length, nullptr, 0) == 0, "no arena");
  const size_t before = check::Statistic("spanmalloc.limit.refusals");
  const int flags = static_cast<int>((arena + 1) << 20);
  CHECK(allocate(2 * kLimit, flags) == nullptr, "a block beyond the limit");
  CHECK(check::Statistic("spanmalloc.limit.refusals") == before + 1, "the refusal isn't counted");
}

}  // namespace

int main() {
  check::SetLimit("spanmalloc.limit.hard", kLimit);
  CheckEverySize();
  CheckOtherSizesAfterFree();
  CheckNewHandler();
  CheckArena();
  CHECK(check::Statistic("spanmalloc.limit.refusals") > 5, "refusals aren't counted");
  CHECK(malloc(2 * kLimit) == nullptr, "a block beyond the limit");
  check::SetLimit("spanmalloc.limit.hard", 0);
  void* block = malloc(2 * kLimit);
  CHECK(block != nullptr, "the limit wasn't lifted");
  free(block);
  return 0;
}

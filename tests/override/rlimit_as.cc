// SPDX-License-Identifier: Apache-2.0
//
// At RLIMIT_AS every size is refused with NULL and ENOMEM, not with a crash; the limit is really
// usable; once blocks are freed requests succeed again; all of it several times over.

#include <errno.h>
#include <sys/resource.h>

#include <initializer_list>

#include "tests/override/check.h"

namespace {

constexpr size_t kRoom = 256u << 20;
void** last_block;  // the blocks form a list through their first word

size_t Exhaust(size_t size) {
  size_t total = 0;
  for (;;) {
    errno = 0;
    void** block = static_cast<void**>(malloc(size));
    if (block == nullptr) {
      CHECK(errno == ENOMEM, "malloc(%zu) failed with errno %d", size, errno);
      return total;
    }
    memset(block, 1, size < 64 ? size : 64);
    *block = last_block;
    last_block = block;
    total += size;
    CHECK(total <= 2 * kRoom, "the limit does not hold");
  }
}

void FreeAll() {
  while (last_block != nullptr) {
    void** next = static_cast<void**>(*last_block);
    free(last_block);
    last_block = next;
  }
}

}  // namespace

int main() {
  free(malloc(100));
  rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = check::AddressSpaceBytes() + kRoom;
  CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "cannot set RLIMIT_AS");
  for (int round = 0; round < 3; ++round) {
    // A different size each time: memory freed as one size must serve another.
    for (size_t size :
         {size_t{16} << 20, size_t{1000}, size_t{200000}, size_t{64}, size_t{40000}}) {
      size_t total = Exhaust(size);
      CHECK(total >= kRoom / 3, "round %d: %zu bytes of size %zu in a room of %zu", round, total,
            size, kRoom);
      for (int i = 0; i < 100; ++i) {
        errno = 0;
        CHECK(malloc(check::Hide(kRoom)) == nullptr && errno == ENOMEM, "a refusal is not kept");
        CHECK(calloc(kRoom, 1) == nullptr && errno == ENOMEM, "a refusal is not kept");
      }
      FreeAll();
      void* block = malloc(1 << 20);
      CHECK(block != nullptr, "no memory after everything was freed");
      free(block);
    }
  }
  return 0;
}

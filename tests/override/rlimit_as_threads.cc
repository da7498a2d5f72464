// SPDX-License-Identifier: Apache-2.0
//
// Four threads run into RLIMIT_AS together, again and again: each sees NULL or a usable block,
// contents stay whole, and the memory is there again when all have freed.

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>

#include "tests/override/check.h"

namespace {

constexpr size_t kRoom = 128u << 20;
constexpr int kBlocksPerThread = 40000;
pthread_barrier_t barrier;
int refusals;

void* Run(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument) + 1;
  static thread_local struct {
    unsigned char* address;
    size_t size;
  } blocks[kBlocksPerThread];
  for (int round = 0; round < 3; ++round) {
    pthread_barrier_wait(&barrier);
    int count = 0;
    int refused = 0;
    while (count < kBlocksPerThread && refused < 50) {
      size_t size = 1 + check::Random(&random) % (check::Random(&random) % 64 ? 4000 : 500000);
      unsigned char* block = static_cast<unsigned char*>(malloc(size));
      if (block == nullptr) {
        CHECK(errno == ENOMEM, "malloc(%zu) failed with errno %d", size, errno);
        ++refused;
        continue;
      }
      block[0] = block[size - 1] = static_cast<unsigned char>(count);
      blocks[count++] = {block, size};
    }
    __atomic_fetch_add(&refusals, refused, __ATOMIC_RELAXED);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < count; ++i) {
      CHECK(blocks[i].address[0] == static_cast<unsigned char>(i) &&
                blocks[i].address[blocks[i].size - 1] == static_cast<unsigned char>(i),
            "a block of %zu changed", blocks[i].size);
      free(blocks[i].address);
    }
  }
  return nullptr;
}

}  // namespace

int main() {
  pthread_barrier_init(&barrier, nullptr, 4);
  pthread_t threads[4];
  uintptr_t seed = 0;
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Run, reinterpret_cast<void*>(seed++)) == 0,
          "cannot start a thread");
    if (seed == 3) {  // before the last thread joins the barrier, so before anyone allocates
      rlimit limit;
      getrlimit(RLIMIT_AS, &limit);
      limit.rlim_cur = check::AddressSpaceBytes() + kRoom;
      CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "cannot set RLIMIT_AS");
    }
  }
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  CHECK(refusals > 0, "nobody reached the limit");
  void* block = malloc(8u << 20);
  CHECK(block != nullptr, "no memory after everything was freed");
  free(block);
  return 0;
}

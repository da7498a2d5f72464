// SPDX-License-Identifier: Apache-2.0
//
// Buffers that are filled one at a time, each step a realloc by half: by several threads at once,
// with a step now and then by a thread that took the buffer over, freed by whoever comes last. No
// byte of theirs or of their neighbours is lost.

#include <malloc.h>
#include <pthread.h>

#include "tests/override/check.h"

namespace {

constexpr size_t kThreads = 4;
constexpr int kBuffers = 400;

// A buffer that some thread left for the next.
struct Handed {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  char* block = nullptr;
  size_t size = 0;
  uint64_t seed = 0;
} handed;

// Grows a buffer by half and checks that it holds what it did.
char* Step(char* block, size_t* size, uint64_t seed) {
  const size_t wish = *size < 16 ? 16 : *size + *size / 2;
  block = static_cast<char*>(realloc(block, wish));
  CHECK(block != nullptr, "realloc(%zu -> %zu) failed", *size, wish);
  CHECK(check::Holds(block, *size, seed), "realloc(%zu -> %zu) lost contents", *size, wish);
  const size_t usable = malloc_usable_size(block);
  CHECK(usable >= wish, "usable size %zu of %zu", usable, wish);
  check::Fill(block, usable, seed);
  *size = wish;
  return block;
}

void* Run(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument) + 1;
  for (int i = 0; i < kBuffers; ++i) {
    const uint64_t seed = check::Random(&random) % 1000 + 1;
    const size_t limit = size_t{64} << check::Random(&random) % 16;
    char* block = nullptr;
    size_t size = 0;
    while (size < limit) block = Step(block, &size, seed);
    // Leave it to the next thread, and go on with what the last one left.
    pthread_mutex_lock(&handed.lock);
    char* other = handed.block;
    size_t other_size = handed.size;
    const uint64_t other_seed = handed.seed;
    handed.block = block;
    handed.size = size;
    handed.seed = seed;
    pthread_mutex_unlock(&handed.lock);
    if (other == nullptr) continue;
    if (i % 3 == 0) other = Step(other, &other_size, other_seed);
    if (i % 5 == 0) {
      other = static_cast<char*>(realloc(other, other_size / 3 + 1));
      other_size = other_size / 3 + 1;
    }
    CHECK(check::Holds(other, other_size, other_seed), "a buffer of %zu changed", other_size);
    free(other);
  }
  return nullptr;
}

}  // namespace

int main() {
  pthread_t threads[kThreads];
  for (size_t i = 0; i < kThreads; ++i) {
    CHECK(pthread_create(&threads[i], nullptr, Run, reinterpret_cast<void*>(i)) == 0, "thread %zu",
          i);
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  free(handed.block);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Without restartable sequences (glibc told not to register them, and the system call and its
// companion membarrier refused) the heap works, on several threads.

#include <errno.h>
#include <pthread.h>

#include "tests/override/check.h"
#include "tests/override/seccomp_filter.h"

namespace {

void* Work(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  constexpr int kBlocks = 500;
  void* blocks[kBlocks] = {};
  size_t sizes[kBlocks] = {};
  for (int step = 0; step < 100000; ++step) {
    uint32_t i = check::Random(&random) % kBlocks;
    CHECK(check::Holds(blocks[i], sizes[i], i), "a block of %zu changed", sizes[i]);
    free(blocks[i]);
    sizes[i] = check::Random(&random) % 2000;
    blocks[i] = malloc(sizes[i]);
    CHECK(blocks[i] != nullptr, "malloc(%zu) failed", sizes[i]);
    check::Fill(blocks[i], sizes[i], i);
  }
  for (void* block : blocks) free(block);
  return nullptr;
}

}  // namespace

int main(int, char** argv) {
  if (getenv("CHECK_SECOND_RUN") == nullptr) {
    seccomp_filter::Deny({SYS_rseq, SYS_membarrier}, ENOSYS);
  }
  check::RunAgainWith(argv, "GLIBC_TUNABLES", "glibc.pthread.rseq=0");
  pthread_t threads[3];
  uintptr_t seed = 1;
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Work, reinterpret_cast<void*>(seed++)) == 0,
          "cannot start a thread");
  }
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  return 0;
}

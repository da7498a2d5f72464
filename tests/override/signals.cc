// SPDX-License-Identifier: Apache-2.0
//
// A storm of profiling timer signals interrupts the allocator at every point: nothing is lost,
// calls are restarted, errno is right, and contents stay whole.

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include <initializer_list>

#include "tests/override/check.h"

namespace {

volatile sig_atomic_t ticks;

void CountTick(int) {
  int saved = errno;
  ticks = ticks + 1;
  errno = saved;
}

void* Work(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  constexpr int kBlocks = 3000;
  static thread_local struct {
    void* address;
    size_t size;
  } blocks[kBlocks];
  for (uint32_t step = 0; step < 400000; ++step) {
    auto& block = blocks[check::Random(&random) % kBlocks];
    if (block.address != nullptr) {
      CHECK(check::Holds(block.address, block.size, 6), "a block of %zu changed", block.size);
      free(block.address);
    }
    block.size = 1 + check::Random(&random) % (step % 500 ? 600 : 300000);
    block.address = malloc(block.size);
    CHECK(block.address != nullptr, "malloc(%zu) failed, errno %d", block.size, errno);
    check::Fill(block.address, block.size, 6);
  }
  for (auto& block : blocks) free(block.address);
  return nullptr;
}

}  // namespace

int main() {
  struct sigaction action = {};
  action.sa_handler = CountTick;
  for (int number : {SIGPROF, SIGALRM, SIGVTALRM}) sigaction(number, &action, nullptr);
  itimerval timer = {{0, 100}, {0, 100}};
  setitimer(ITIMER_PROF, &timer, nullptr);
  setitimer(ITIMER_REAL, &timer, nullptr);
  setitimer(ITIMER_VIRTUAL, &timer, nullptr);
  pthread_t threads[3];
  uintptr_t seed = 1;
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Work, reinterpret_cast<void*>(seed++)) == 0,
          "cannot start a thread");
  }
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  CHECK(ticks > 10, "only %d signals arrived", static_cast<int>(ticks));
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// A signal handler that allocates and frees interrupts a process which forks again and again, at
// any point of the fork: neither parent nor child waits for a lock that its own thread holds.

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <atomic>

#include "tests/override/check.h"

namespace {

constexpr int kRounds = 400;

std::atomic<int> ticks{0};
std::atomic<int> round_now{0};
void* kept[64];  // of one thread

// Large blocks come from the heap itself, whatever is cached.
void AllocateInHandler(int) {
  const int saved = errno;
  const int tick = ticks.fetch_add(1);
  void*& place = kept[tick % 64];
  free(place);
  place = malloc(tick % 2 ? 300000 : static_cast<size_t>(tick) % 5000);
  errno = saved;
}

void Exercise() {
  for (size_t size = 1; size < 1000000; size *= 7) {
    void* block = malloc(size);
    CHECK(block != nullptr, "malloc(%zu) failed", size);
    check::Fill(block, size, 3);
    CHECK(check::Holds(block, size, 3), "a block of %zu changed", size);
    free(block);
  }
}

// Never to be waited for: it holds no lock when the others are stuck.
void* Watch(void*) {
  for (int seen = -1; seen != kRounds;) {
    seen = round_now.load();
    for (int i = 0; i < 200 && round_now.load() == seen && seen != kRounds; ++i) usleep(100'000);
    CHECK(round_now.load() != seen || seen == kRounds, "stuck in round %d", seen);
  }
  return nullptr;
}

// One signal: the kernel begins a fork anew that it interrupts.
void TickAfter(long us) {
  const itimerval timer = {{0, 0}, {0, us}};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace

int main() {
  pthread_t watcher;
  sigset_t alarms;
  sigemptyset(&alarms);
  sigaddset(&alarms, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &alarms, nullptr);
  CHECK(pthread_create(&watcher, nullptr, Watch, nullptr) == 0, "cannot start a thread");
  pthread_sigmask(SIG_UNBLOCK, &alarms, nullptr);
  struct sigaction action = {};
  action.sa_handler = AllocateInHandler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  for (int round = 0; round < kRounds; ++round) {
    TickAfter(1 + round % 300);
    const pid_t child = fork();
    TickAfter(0);
    CHECK(child >= 0, "cannot fork");
    if (child == 0) {
      // A child that is stuck ends by this.
      signal(SIGALRM, SIG_DFL);
      alarm(20);
      Exercise();
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child: status %#x", status);
    Exercise();
    round_now.store(round + 1);
  }
  pthread_join(watcher, nullptr);
  CHECK(ticks.load() > 10, "only %d signals arrived", ticks.load());
  return 0;
}

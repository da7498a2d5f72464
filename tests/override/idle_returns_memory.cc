// SPDX-License-Identifier: Apache-2.0
//
// A process with two threads drops most of what it held and goes idle: its memory goes back
// although nobody calls the allocator, the second time as the first. Its user and group may be
// changed, which signals every thread, and the program's signals come to its own threads.

#include <signal.h>

#include "tests/override/idle_process.h"

namespace {

pthread_t main_thread;
volatile sig_atomic_t on_main = -1;

void NoteThread(int) { on_main = pthread_equal(pthread_self(), main_thread) ? 1 : 0; }

}  // namespace

int main() {
  alarm(120);
  idle_process::StartIdleThread();
  idle_process::ExpectIdleToShrink("the first time");
  idle_process::ExpectIdleToShrink("the second time");
  CHECK(idle_process::CountThreads().all == 3, "not three threads");
  CHECK(setgid(getgid()) == 0 && setuid(getuid()) == 0, "cannot set the user");

  main_thread = pthread_self();
  signal(SIGUSR1, NoteThread);
  kill(getpid(), SIGUSR1);
  for (int i = 0; i < 100 && on_main < 0; ++i) usleep(10000);
  CHECK(on_main >= 0, "no thread took the signal");
  return 0;
}

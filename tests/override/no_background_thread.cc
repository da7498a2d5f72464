// SPDX-License-Identifier: Apache-2.0
//
// When there is no thread of the allocator: in a process with one thread; where the system refuses
// a thread, quietly; and where an option says so. Memory then goes back while the program allocates
// and frees.

#include <errno.h>
#include <sys/wait.h>

#include "tests/override/idle_process.h"
#include "tests/override/seccomp_filter.h"

namespace {

// As an idle program that does a little now and then.
void ExpectActivityToShrink(const char* when) {
  const size_t full = check::ResidentBytes();
  for (int i = 0; i < 400; ++i) {
    if (check::ResidentBytes() <= full - idle_process::kBurstBytes * 3 / 4) return;
    usleep(20000);
    for (size_t size = 300000; size < 330000; size += 1000) free(malloc(size));
  }
  FAIL("%s: %zu MiB stay resident", when, check::ResidentBytes() >> 20);
}

void ExpectNone(const char* when, int threads) {
  idle_process::BurstAndDrop();
  idle_process::BurstAndDrop();
  usleep(200000);
  CHECK(idle_process::CountThreads().all == threads, "%s: there is another thread", when);
  ExpectActivityToShrink(when);
  CHECK(idle_process::CountThreads().all == threads, "%s: there is another thread now", when);
}

[[noreturn]] void LiveRefused() {
  // What is written to stderr would be noise.
  int ends[2];
  CHECK(pipe(ends) == 0, "cannot make a pipe");
  dup2(ends[1], STDERR_FILENO);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  idle_process::StartIdleThread();
  seccomp_filter::Deny({SYS_clone, SYS_clone3}, EAGAIN);
  ExpectNone("refused", 2);
  char byte;
  CHECK(read(ends[0], &byte, 1) != 1, "there is something on stderr");
  _exit(0);
}

void RunInChild(void (*live)(), const char* what) {
  pid_t child = fork();
  CHECK(child >= 0, "cannot fork");
  if (child == 0) live();
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == check::kSkipped) return;
  CHECK(status == 0, "%s: status %#x", what, status);
}

}  // namespace

int main(int, char** argv) {
  alarm(120);
  if (getenv("CHECK_SECOND_RUN") == nullptr) {
    RunInChild(&LiveRefused, "refused");
    ExpectNone("one thread", 1);
  }
  check::RunAgainWith(argv, "MALLOC_CONF", "background_thread:false");
  idle_process::StartIdleThread();
  ExpectNone("by option", 2);
  return 0;
}

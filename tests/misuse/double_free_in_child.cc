// SPDX-License-Identifier: Apache-2.0
//
// A forked child frees twice a block that its parent made.

#include <signal.h>
#include <sys/wait.h>

#include "tests/misuse/misuse.h"

int main() {
  void* block = misuse::Allocate(misuse::kLarge);
  misuse::Announce(block);
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    free(block);
    free(misuse::Hide(block));
    _exit(0);
  }
  waitpid(child, &status, 0);
  free(block);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) {
    signal(SIGABRT, SIG_DFL);
    raise(SIGABRT);
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// With hard_limit_abort the process ends where the limit would make a request fail, with one line
// that says so; a request that no limit could serve fails as ever.

#include <signal.h>
#include <sys/wait.h>

#include "tests/override/check.h"
#include "tests/override/limits.h"

int main(int, char** argv) {
  check::RunAgainWith(argv, "SPANMALLOC_CONF", "hard_limit:67108864,hard_limit_abort:true");
  if (check::Statistic("spanmalloc.limit.hard") != 64u << 20) SKIP("the limit wasn't taken");
  CHECK(malloc(check::Hide(~size_t{0} / 4)) == nullptr, "an impossible block");
  int ends[2];
  CHECK(pipe(ends) == 0, "cannot make a pipe");
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    void* block = malloc(check::Hide(size_t{100} << 20));
    _exit(block == nullptr ? 2 : 3);
  }
  close(ends[1]);
  char text[256] = {};
  size_t length = 0;
  for (ssize_t got; (got = read(ends[0], text + length, sizeof(text) - 1 - length)) > 0;) {
    length += static_cast<size_t>(got);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x", status);
  CHECK(strcmp(text,
               "spanmalloc: hard limit: request of 104857600 bytes refused, and nothing is "
               "left to give back\n") == 0,
        "it said: %s", text);
  return 0;
}

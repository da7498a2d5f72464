// SPDX-License-Identifier: Apache-2.0
//
// After warming up the process enters strict seccomp (read, write, exit and sigreturn only; any
// other system call kills it, and reading the clock traps because the time stamp counter is off):
// allocating and freeing within the warmed sizes does neither.

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/override/check.h"

namespace {

constexpr int kBlocks = 400;
void* blocks[kBlocks];

void Exercise(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < kBlocks; ++i) {
      size_t size = static_cast<size_t>((i * 7 + round) % kBlocks) * 5 + 1;
      blocks[i] = i % 5 == 0 ? calloc(1, size) : malloc(size);
      if (blocks[i] == nullptr) syscall(SYS_exit, 2);
      memset(blocks[i], 1, size);
    }
    for (int i = 0; i < kBlocks; i += 3) blocks[i] = realloc(blocks[i], 900);
    for (int i = 0; i < kBlocks; ++i) free(blocks[(i * 3) % kBlocks]);
  }
}

}  // namespace

int main() {
  static_assert(kBlocks % 3 != 0, "every block is freed once");
  pid_t child = fork();
  CHECK(child >= 0, "cannot fork");
  if (child == 0) {
    Exercise(500);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(check::kSkipped);
    Exercise(200);
    syscall(SYS_exit, 0);  // exit_group, which _exit calls, is not allowed
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(!WIFSIGNALED(status), "killed by signal %d (SIGKILL: a system call, SIGSEGV: the clock)",
        WTERMSIG(status));
  return WEXITSTATUS(status);
}

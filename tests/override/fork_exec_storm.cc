// SPDX-License-Identifier: Apache-2.0
//
// Three threads each fork, vfork and posix_spawn in a loop, children exec this program again under
// the same library; descriptors and memory of the parent do not grow.

#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/override/check.h"

namespace {

char self[] = "/proc/self/exe";
char child_word[] = "child";
char* child_arguments[] = {self, child_word, nullptr};

int LiveAsChild() {
  void* blocks[500];
  for (int i = 0; i < 500; ++i) blocks[i] = malloc(static_cast<size_t>(i) * 9);
  for (void* block : blocks) free(block);
  return 0;
}

void* Storm(void*) {
  for (int round = 0; round < 40; ++round) {
    void* block = malloc(static_cast<size_t>(round) * 1000 + 1);
    pid_t child = -1;
    if (round % 3 == 0) {
      child = fork();
    } else if (round % 3 == 1) {
      child = vfork();
    } else {
      CHECK(posix_spawn(&child, self, nullptr, nullptr, child_arguments, environ) == 0,
            "posix_spawn failed");
    }
    CHECK(child >= 0, "cannot fork");
    if (child == 0) {
      execv(self, child_arguments);
      _exit(3);
    }
    free(block);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child, "the child is lost");
    CHECK(status == 0, "round %d: child status %#x", round, status);
  }
  return nullptr;
}

}  // namespace

int main(int argc, char**) {
  if (argc > 1) return LiveAsChild();
  pthread_t threads[3];
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Storm, nullptr) == 0, "cannot start a thread");
  }
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  CHECK(check::ResidentBytes() < (64u << 20), "%zu bytes resident", check::ResidentBytes());
  int fd = dup(0);
  CHECK(fd < 10, "descriptors leak: the next one is %d", fd);
  return 0;
}

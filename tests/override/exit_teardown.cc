// SPDX-License-Identifier: Apache-2.0
//
// The heap works to the very end: in atexit handlers, static destructors and destructor functions,
// while detached threads still allocate, and for blocks made before main.

#include <pthread.h>
#include <sys/wait.h>

#include <map>
#include <string>

#include "tests/override/check.h"

namespace {

void Use() {
  for (size_t size = 1; size < 300000; size = size * 2 + 1) {
    char* block = static_cast<char*>(malloc(size));
    if (block == nullptr) abort();
    memset(block, 1, size);
    free(block);
  }
}

struct Early {
  std::map<int, std::string> map;
  Early() {
    for (int i = 0; i < 1000; ++i) map[i] = std::string(static_cast<size_t>(i) % 300, 'e');
  }
  ~Early() {
    map[-1] = std::string(5000, 'x');
    Use();
  }
};
Early early;
void* kept_to_the_end;

__attribute__((destructor)) void LastOfAll() {
  Use();
  free(kept_to_the_end);
}

void* RunForever(void*) {
  for (;;) Use();
  return nullptr;
}

[[noreturn]] void LiveAndExit(int how) {
  kept_to_the_end = malloc(100);
  atexit(Use);
  at_quick_exit(Use);
  for (int i = 0; i < 2; ++i) {
    pthread_t thread;
    CHECK(pthread_create(&thread, nullptr, RunForever, nullptr) == 0, "cannot start a thread");
    pthread_detach(thread);
  }
  usleep(2000);
  if (how == 1) quick_exit(0);
  exit(0);
}

}  // namespace

int main() {
  for (int round = 0; round < 40; ++round) {
    pid_t child = fork();
    CHECK(child >= 0, "cannot fork");
    if (child == 0) {
      alarm(10);
      LiveAndExit(round % 4 == 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(status == 0, "round %d: status %#x at exit", round, status);
  }
  return 0;
}

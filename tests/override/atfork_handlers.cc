// SPDX-License-Identifier: Apache-2.0
//
// Fork handlers of the program and of a library loaded before the allocator's own registration
// allocate and free while other threads are busy: nothing deadlocks, whichever handlers run first.

#include <dlfcn.h>
#include <libgen.h>
#include <pthread.h>
#include <sys/wait.h>

#include <atomic>

#include "tests/override/check.h"

namespace {

std::atomic<bool> stop{false};
std::atomic<int> handler_calls{0};

void Exercise(int count) {
  void* blocks[100];
  for (int i = 0; i < count; ++i) {
    for (int j = 0; j < 100; ++j) {
      blocks[j] = malloc(static_cast<size_t>(i * 7 + j * 311) % 40000 + 1);
      CHECK(blocks[j] != nullptr, "no memory");
    }
    for (void* block : blocks) free(block);
  }
}

void Handler() {
  handler_calls.fetch_add(1);
  Exercise(3);
}

void* Busy(void*) {
  while (!stop.load()) Exercise(10);
  return nullptr;
}

// Preloads the library in front of the library under test, and starts over.
void RunWithPlugin(char** argv) {
  char program[512] = {};
  if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0) FAIL("no /proc/self/exe");
  char preload[1200];
  const char* tested = getenv("LD_PRELOAD");
  snprintf(preload, sizeof(preload), "%s/atfork_plugin.so %s", dirname(program),
           tested != nullptr ? tested : "");
  check::RunAgainWith(argv, "LD_PRELOAD", preload);
}

}  // namespace

int main(int, char** argv) {
  RunWithPlugin(argv);
  CHECK(dlsym(RTLD_DEFAULT, "atfork_plugin_loaded") != nullptr, "atfork_plugin.so is not loaded");
  unsetenv("LD_PRELOAD");
  pthread_atfork(Handler, Handler, Handler);
  pthread_t threads[3];
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Busy, nullptr) == 0, "cannot start a thread");
  }
  for (int round = 0; round < 60; ++round) {
    pid_t child = fork();
    CHECK(child >= 0, "cannot fork");
    if (child == 0) {
      alarm(20);
      Exercise(10);
      _exit(handler_calls.load() > 0 ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(status == 0, "round %d: child status %#x", round, status);
  }
  stop = true;
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// The library starts and serves under a limit on the address space set before the process began
// (`ulimit -v`), from 64 MiB to 1 TiB: a third of the limit (at most 128 MiB) can be had, then
// ENOMEM.

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <initializer_list>

#include "tests/override/check.h"

namespace {

void* AllocateOnThread(void*) {
  void* block = malloc(100000);
  CHECK(block != nullptr, "no memory on a second thread");
  memset(block, 1, 100000);
  return block;
}

int RunUnderLimit(size_t limit) {
  size_t wanted = limit / 3 < (128u << 20) ? limit / 3 : (128u << 20);
  for (size_t size : {size_t{32}, size_t{500}, size_t{30000}, size_t{1} << 20}) {
    void** last = nullptr;
    size_t total = 0;
    while (total < wanted) {
      void** block = static_cast<void**>(malloc(size));
      CHECK(block != nullptr, "limit %zu: refused after %zu bytes of size %zu", limit, total, size);
      *block = last;
      last = block;
      total += size;
    }
    while (last != nullptr) {
      void** next = static_cast<void**>(*last);
      free(last);
      last = next;
    }
  }
  errno = 0;
  CHECK(malloc(check::Hide(limit)) == nullptr && errno == ENOMEM, "the limit itself was served");
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  pthread_t thread;
  void* block = nullptr;
  CHECK(pthread_create(&thread, &attributes, AllocateOnThread, nullptr) == 0, "no second thread");
  pthread_join(thread, &block);
  free(block);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return RunUnderLimit(strtoull(argv[1], nullptr, 10));
  for (int megabytes : {64, 100, 256, 1024, 8192, 65536, 1 << 20}) {
    size_t bytes = static_cast<size_t>(megabytes) << 20;
    pid_t child = fork();
    if (child == 0) {
      rlimit limit = {bytes, bytes};
      if (setrlimit(RLIMIT_AS, &limit) != 0) FAIL("cannot set RLIMIT_AS");
      char text[32];
      snprintf(text, sizeof(text), "%zu", bytes);
      execl("/proc/self/exe", argv[0], text, nullptr);
      FAIL("cannot run under %d MiB", megabytes);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status), "under %d MiB: killed by signal %d", megabytes, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0) return WEXITSTATUS(status);
  }
  return 0;
}

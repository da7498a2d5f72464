// SPDX-License-Identifier: Apache-2.0
//
// A daemon closes every descriptor, the allocator's included if it had any, and opens its own in
// their place: the heap works, and neither writes to nor closes a descriptor that is not its own.

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/stat.h>

#include "tests/override/check.h"

namespace {

void* Work(void*) {
  for (int round = 0; round < 3; ++round) {
    for (size_t size = 1; size < (64u << 20); size = size * 2 + 1) {
      char* block = static_cast<char*>(malloc(size));
      if (block == nullptr) _exit(2);
      block[0] = block[size - 1] = 1;
      free(block);
    }
    malloc_trim(0);
  }
  return nullptr;
}

void WorkOnThreads() {
  pthread_t threads[2];
  for (pthread_t& thread : threads) {
    if (pthread_create(&thread, nullptr, Work, nullptr) != 0) _exit(3);
  }
  Work(nullptr);
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
}

}  // namespace

int main() {
  free(malloc(100));
  int saved_output = fcntl(STDOUT_FILENO, F_DUPFD, 900);
  for (int fd = 0; fd < 900; ++fd) close(fd);
  WorkOnThreads();
  // Descriptors 0 to 99 are now this file.
  char path[] = "/tmp/closed_descriptors_XXXXXX";
  int file = mkstemp(path);
  if (file != 0) _exit(4);
  unlink(path);
  for (int fd = 1; fd < 100; ++fd) {
    if (dup2(file, fd) != fd) _exit(5);
  }
  WorkOnThreads();
  if (pid_t child = fork(); child == 0) {
    WorkOnThreads();
    _exit(0);
  }
  for (int fd = 0; fd < 100; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) _exit(6);
  }
  struct stat status = {};
  fstat(file, &status);
  dup2(saved_output, STDOUT_FILENO);
  CHECK(status.st_size == 0, "%lld bytes were written to a descriptor of the program",
        static_cast<long long>(status.st_size));
  return 0;
}

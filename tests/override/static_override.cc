// SPDX-License-Identifier: Apache-2.0
//
// A fully static program linked with the allocator's archive: the C library's own malloc is not
// pulled in beside it (the link would fail), and glibc's users, fork, threads and C++ share one
// heap. Run without a preload.

#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

#include <map>
#include <string>

#include "tests/override/check.h"

// Not in this C library: if the program links, it runs on the archive.
extern "C" void free_sized(void* block, size_t size);

namespace {

void* Work(void*) {
  std::map<int, std::string> map;
  for (int i = 0; i < 20000; ++i) map[i % 3000] = std::string(static_cast<size_t>(i) % 700, 'm');
  return nullptr;
}

}  // namespace

int main() {
  free_sized(malloc(100), 100);
  pthread_t threads[3];
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Work, nullptr) == 0, "cannot start a thread");
  }
  pid_t child = fork();
  if (child == 0) {
    Work(nullptr);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0, "child status %#x", status);
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  char* text = nullptr;
  CHECK(asprintf(&text, "%d", 5) == 1 && malloc_usable_size(text) > 0, "asprintf's block");
  free(realloc(text, 1000));
  free(strdup("a text"));
  free(pvalloc(10));
  CHECK(malloc(check::Hide(size_t{PTRDIFF_MAX})) == nullptr, "an impossible size was served");
  return 0;
}

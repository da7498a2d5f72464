// SPDX-License-Identifier: Apache-2.0
//
// Every entry point may be the very first one a process calls, or the first of a thread. The
// program runs itself once for each; it avoids the C++ library, whose start would allocate.

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

#include "tests/override/check.h"

namespace {

constexpr int kCalls = 16;

void* FirstCall(int number) {
  void* const null = check::Hide(static_cast<void*>(nullptr));
  void* block = nullptr;
  switch (number) {
    case 0:
      return malloc(100);
    case 1:
      return malloc(size_t{10} << 20);
    case 2:
      return calloc(10, 10);
    case 3:
      return realloc(null, 100);
    case 4:
      return reallocarray(null, 10, 10);
    case 5:
      return aligned_alloc(4096, 100);
    case 6:
      return memalign(64, 100);
    case 7:
      return valloc(100);
    case 8:
      return pvalloc(100);
    case 9:
      return posix_memalign(&block, 64, 100) == 0 ? block : nullptr;
    case 10:
      free(null);
      break;
    case 11:
      CHECK(malloc_usable_size(null) == 0, "NULL has a usable size");
      break;
    case 12:
      malloc_trim(0);
      break;
    case 13:
      CHECK(mallinfo2().uordblks < (size_t{1} << 40), "mallinfo2 counts too much");
      break;
    case 14:
      mallopt(M_ARENA_MAX, 1);
      break;
    default:
      CHECK(malloc(check::Hide(SIZE_MAX)) == nullptr && errno == ENOMEM, "SIZE_MAX was served");
  }
  return malloc(100);
}

void* CallAndFree(void* number) {
  void* block = FirstCall(static_cast<int>(reinterpret_cast<uintptr_t>(number)));
  CHECK(block != nullptr, "it returned NULL, errno %d", errno);
  check::Fill(block, 100, 1);
  CHECK(malloc_usable_size(block) >= 100, "the usable size is too small");
  free(block);
  return nullptr;
}

int RunAsChild(int number) {
  void* argument = reinterpret_cast<void*>(static_cast<uintptr_t>(number));
  CallAndFree(argument);
  pthread_t thread;
  CHECK(pthread_create(&thread, nullptr, CallAndFree, argument) == 0, "cannot start a thread");
  pthread_join(thread, nullptr);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return RunAsChild(atoi(argv[1]));
  for (int number = 0; number < kCalls; ++number) {
    pid_t child = fork();
    CHECK(child >= 0, "cannot fork");
    if (child == 0) {
      char text[16];
      snprintf(text, sizeof(text), "%d", number);
      execl("/proc/self/exe", argv[0], text, nullptr);
      _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(status == 0, "entry point %d as the first call: status %#x", number, status);
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Inside a cgroup with a memory limit of 128 MiB the program works through many times that amount,
// a small part alive at a time, in changing sizes and threads, and is not killed.

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/override/check.h"

namespace {

bool WriteText(const char* folder, const char* file, const char* text) {
  char path[256];
  snprintf(path, sizeof(path), "%s/%s", folder, file);
  int fd = open(path, O_WRONLY);
  bool written = fd >= 0 && write(fd, text, strlen(text)) == static_cast<ssize_t>(strlen(text));
  if (fd >= 0) close(fd);
  return written;
}

void* Work(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  // Each round keeps 20 MiB of one size and frees it: 2 GiB in all.
  for (int round = 0; round < 50; ++round) {
    size_t size = size_t{48} << (check::Random(&random) % 16);
    size_t count = (20u << 20) / size;
    void** last = nullptr;
    for (size_t i = 0; i < count; ++i) {
      void** block = static_cast<void**>(malloc(size));
      CHECK(block != nullptr, "malloc(%zu) failed in the cgroup", size);
      memset(block, 1, size);
      *block = last;
      last = block;
    }
    while (last != nullptr) {
      void** next = static_cast<void**>(*last);
      free(last);
      last = next;
    }
  }
  return nullptr;
}

int RunInside() {
  for (int generation = 0; generation < 3; ++generation) {
    pthread_t threads[2];
    uintptr_t seed = static_cast<uintptr_t>(generation) * 2;
    for (pthread_t& thread : threads) {
      CHECK(pthread_create(&thread, nullptr, Work, reinterpret_cast<void*>(++seed)) == 0,
            "cannot start a thread");
    }
    for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return RunInside();
  char folder[128];
  const char* limit_file = "memory.limit_in_bytes";
  snprintf(folder, sizeof(folder), "/sys/fs/cgroup/memory/heap_test_%d", getpid());
  if (mkdir(folder, 0755) != 0) {
    limit_file = "memory.max";
    snprintf(folder, sizeof(folder), "/sys/fs/cgroup/heap_test_%d", getpid());
    if (mkdir(folder, 0755) != 0) SKIP("no cgroup can be made");
  }
  if (!WriteText(folder, limit_file, "134217728\n")) {
    rmdir(folder);
    SKIP("the cgroup takes no memory limit");
  }
  WriteText(folder, "memory.swap.max", "0\n");
  WriteText(folder, "memory.memsw.limit_in_bytes", "134217728\n");
  pid_t child = fork();
  if (child == 0) {
    if (!WriteText(folder, "cgroup.procs", "0\n")) _exit(check::kSkipped);
    execl("/proc/self/exe", argv[0], "inside", nullptr);
    _exit(1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  for (int attempt = 0; rmdir(folder) != 0 && attempt < 100; ++attempt) usleep(10000);
  CHECK(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
  return WEXITSTATUS(status);
}

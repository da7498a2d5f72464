// SPDX-License-Identifier: Apache-2.0
//
// Runs a test program in a control group of its own. For programs that limit themselves by one.
#ifndef SPANMALLOC_TESTS_OVERRIDE_CGROUP_H_
#define SPANMALLOC_TESTS_OVERRIDE_CGROUP_H_

#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/override/check.h"

namespace check {

// A new group under `controller` of version 1, or of version 2; skips the test if there can be
// none.
class Cgroup {
 public:
  explicit Cgroup(const char* controller) {
    snprintf(folder_, sizeof(folder_), "/sys/fs/cgroup/%s/heap_test_%d", controller, getpid());
    if (mkdir(folder_, 0755) == 0) return;
    snprintf(folder_, sizeof(folder_), "/sys/fs/cgroup/heap_test_%d", getpid());
    if (mkdir(folder_, 0755) != 0) SKIP("no cgroup can be made");
  }

  // Whether a file of the group took a text.
  bool Write(const char* file, const char* text) const {
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder_, file);
    int fd = open(path, O_WRONLY);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == static_cast<ssize_t>(strlen(text));
    if (fd >= 0) close(fd);
    return written;
  }

  // Lets the group have so many bytes, swapped ones included; skips the test if it takes no limit.
  void LimitMemory(const char* bytes) const {
    if (!Write("memory.limit_in_bytes", bytes) && !Write("memory.max", bytes)) {
      Remove();
      SKIP("the cgroup takes no memory limit");
    }
    Write("memory.swap.max", "0\n");
    Write("memory.memsw.limit_in_bytes", bytes);
  }

  void Remove() const {
    for (int attempt = 0; rmdir(folder_) != 0 && attempt < 100; ++attempt) usleep(10000);
  }

  // Runs this program again, with an argument, in the group, and removes that. Returns the status.
  int RunInside(const char* program) const {
    pid_t child = fork();
    if (child == 0) {
      if (!Write("cgroup.procs", "0\n")) _exit(kSkipped);
      execl("/proc/self/exe", program, "inside", nullptr);
      _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    Remove();
    CHECK(!WIFSIGNALED(status), "killed by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
  }

 private:
  char folder_[128];
};

}  // namespace check

#endif  // SPANMALLOC_TESTS_OVERRIDE_CGROUP_H_

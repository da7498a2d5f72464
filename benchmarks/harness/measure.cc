// SPDX-License-Identifier: Apache-2.0
//
// measure REPORT PRELOAD COMMAND [ARGUMENT...]
//
// Runs one command and writes what it cost to the file REPORT. PRELOAD is the LD_PRELOAD of the
// command, or "-" for none. The harness (runner.py) starts every measured command through it,
// because the kernel counts the memory of the process that forks into the peak of the command: a
// Python interpreter would hide the memory of everything smaller. This one has next to none, and
// is linked statically to stay so.

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace {

double Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

[[noreturn]] void Fail(const char* what, int error) {
  fprintf(stderr, "measure: %s: %s\n", what, strerror(error));
  exit(127);
}

void Report(const char* path, double wall, int status, const rusage& usage) {
  FILE* report = fopen(path, "w");
  if (report == nullptr) Fail(path, errno);
  fprintf(report,
          "{\"wall_s\": %.6f, \"user_s\": %.6f, \"system_s\": %.6f, \"max_rss_kib\": %ld, "
          "\"minor_faults\": %ld, \"major_faults\": %ld, \"exit_code\": %d, \"signal\": %d}\n",
          wall, Seconds(usage.ru_utime), Seconds(usage.ru_stime), usage.ru_maxrss, usage.ru_minflt,
          usage.ru_majflt, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  if (fclose(report) != 0) Fail(path, errno);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: measure REPORT PRELOAD|- COMMAND [ARGUMENT...]\n");
    return 2;
  }
  unsetenv("LD_PRELOAD");
  if (strcmp(argv[2], "-") != 0) setenv("LD_PRELOAD", argv[2], 1);

  const double start = Now();
  pid_t child;
  const int error = posix_spawnp(&child, argv[3], nullptr, nullptr, argv + 3, environ);
  if (error != 0) Fail(argv[3], error);
  int status;
  rusage usage;
  while (wait4(child, &status, 0, &usage) < 0) {
    if (errno != EINTR) Fail("wait4", errno);
  }
  Report(argv[1], Now() - start, status, usage);
  return 0;
}

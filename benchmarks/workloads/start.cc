// SPDX-License-Identifier: Apache-2.0
//
// start: starts a small program (--program) again and again, as a shell script or a build does, and
// reports the time from start to end and its peak resident memory. The program inherits LD_PRELOAD;
// this one is linked statically, which makes it small: the kernel counts the memory of whoever
// starts a program into the program's peak.

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

extern char** environ;

namespace {

constexpr int kStarts = 500;

struct Cost {
  double microseconds;
  long rss_kib;
};

[[noreturn]] void Fail(const char* program, const char* what) {
  fprintf(stderr, "%s: %s\n", program, what);
  exit(1);
}

Cost StartOnce(char* program) {
  char* const arguments[] = {program, nullptr};
  const auto start = std::chrono::steady_clock::now();
  pid_t child;
  const int error = posix_spawn(&child, program, nullptr, nullptr, arguments, environ);
  if (error != 0) Fail(program, strerror(error));
  int status;
  rusage usage;
  while (wait4(child, &status, 0, &usage) < 0) {
    if (errno != EINTR) Fail(program, strerror(errno));
  }
  const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
  if (status != 0) Fail(program, "did not end well");
  return {time.count(), usage.ru_maxrss};
}

template <typename T>
T Median(std::vector<T> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace

// start --scale=SCALE PROGRAM. No Abseil: static, it would be three times as large.
int main(int argc, char** argv) {
  if (argc != 3 || strncmp(argv[1], "--scale=", 8) != 0 || atof(argv[1] + 8) <= 0) {
    fprintf(stderr, "usage: start --scale=SCALE PROGRAM\n");
    return 2;
  }
  const int starts = std::max(1, static_cast<int>(kStarts * atof(argv[1] + 8)));
  std::vector<double> times;
  std::vector<long> sizes;
  for (int i = 0; i < starts; ++i) {
    const Cost cost = StartOnce(argv[2]);
    times.push_back(cost.microseconds);
    sizes.push_back(cost.rss_kib);
  }
  fprintf(stderr, "metric start_median_us %.6g\n", Median(times));
  fprintf(stderr, "metric start_min_us %.6g\n", *std::min_element(times.begin(), times.end()));
  fprintf(stderr, "metric program_rss_kib %ld\n", Median(sizes));
  printf("start %d\n", starts);
  return 0;
}

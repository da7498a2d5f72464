// SPDX-License-Identifier: Apache-2.0
//
// fork_large_heap: a process with a heap of 1 GiB in blocks of all sizes forks children that end at
// once, as a server does that writes a snapshot or starts a helper. Reports the time of fork, the
// child's end and the wait for it.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

namespace spanmalloc::workloads {
namespace {

constexpr size_t kHeapBytes = size_t{1} << 30;
constexpr size_t kForks = 9;
constexpr size_t kMinSize = 64;
constexpr size_t kMaxSize = 64 << 10;

double ForkOnceMs() {
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) _exit(0);
  int status = 1;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    fprintf(stderr, "fork failed\n");
    exit(1);
  }
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
  return time.count();
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  Random random(1);
  std::vector<void*> blocks;
  for (size_t bytes = 0; bytes < Scaled(kHeapBytes);) {
    const size_t size = random.LogUniform(kMinSize, kMaxSize);
    blocks.push_back(malloc(size));
    Touch(blocks.back(), size, random.Next(), 4096);
    bytes += size;
  }
  std::vector<double> times;
  for (size_t i = 0; i < kForks; ++i) times.push_back(ForkOnceMs());
  std::sort(times.begin(), times.end());
  ReportMetric("fork_median_ms", times[times.size() / 2]);
  ReportMetric("fork_min_ms", times.front());
  return Finish("fork_large_heap", FreeAll(blocks));
}

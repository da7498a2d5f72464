// SPDX-License-Identifier: Apache-2.0
//
// idle_threads: many threads that each allocate a few small blocks, free half of them, and stay
// alive: a server with a thread per connection, most of them waiting. Reports resident memory per
// thread, beyond that of the same threads without any allocation, which a child process measures
// first; and what is left of it once the threads have ended.

#include <alloca.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <latch>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

ABSL_FLAG(size_t, blocks, 100, "blocks that each thread allocates; it frees half of them");

namespace spanmalloc::workloads {
namespace {

constexpr size_t kMinSize = 16;
constexpr size_t kMaxSize = 256;

struct Result {
  double threads_mib;  // While the threads wait.
  double left_mib;     // After they have ended.
  uint64_t checksum;
};

// Allocates `blocks` and frees every second; waits; frees the others.
uint64_t RunThread(size_t blocks, uint64_t seed, std::latch& idle, std::latch& end) {
  Random random(seed);
  // Not in a container: what a thread allocates is the blocks alone.
  auto** const live = static_cast<void**>(alloca(std::max<size_t>(1, blocks) * sizeof(void*)));
  uint64_t checksum = 0;
  for (size_t i = 0; i < blocks; ++i) {
    const size_t size = random.LogUniform(kMinSize, kMaxSize);
    live[i] = malloc(size);
    Touch(live[i], size, random.Next(), 64);
  }
  for (size_t i = 0; i < blocks; i += 2) checksum += FreeTagged(live[i]);
  idle.count_down();
  end.wait();
  for (size_t i = 1; i < blocks; i += 2) checksum += FreeTagged(live[i]);
  return checksum;
}

Result Run(int threads, size_t blocks) {
  Result result = {};
  std::latch idle(threads);
  std::latch end(1);
  std::thread observer([&] {
    idle.wait();
    result.threads_mib = ResidentMib();
    end.count_down();
  });
  result.checksum = RunThreads(threads, [&](int i) { return RunThread(blocks, i + 1, idle, end); });
  observer.join();
  result.left_mib = ResidentMib();
  return result;
}

// The same without allocations, in a process of its own: what it leaves behind is not reused.
Result RunInChild(int threads) {
  Result result = {};
  int ends[2];
  if (pipe(ends) != 0) {
    perror("pipe");
    exit(1);
  }
  const pid_t child = fork();
  if (child == 0) {
    result = Run(threads, 0);
    _exit(write(ends[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1);
  }
  close(ends[1]);
  const bool read_all = child > 0 && read(ends[0], &result, sizeof(result)) == sizeof(result);
  close(ends[0]);
  int status = 1;
  if (!read_all || waitpid(child, &status, 0) != child || status != 0) {
    fprintf(stderr, "the process without allocations failed\n");
    exit(1);
  }
  return result;
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  const int threads = ThreadCount();
  const Result without = RunInChild(threads);
  const Result with = Run(threads, absl::GetFlag(FLAGS_blocks));
  ReportMetric("thread_kib", 1024 * (with.threads_mib - without.threads_mib) / threads);
  ReportMetric("rss_threads_mib", with.threads_mib);
  ReportMetric("rss_after_threads_mib", with.left_mib);
  return Finish("idle_threads", with.checksum);
}

// SPDX-License-Identifier: Apache-2.0
//
// latency: every single call of malloc and of free timed, sizes from 16 bytes to 64 KiB. Each
// thread replaces random ones of its live blocks. Reports percentiles of both, less what reading
// the clock costs, which it reports too. With more threads than processors the times include those
// in which the thread didn't run: the last of the percentiles are then the scheduler's.

#include <algorithm>
#include <string>
#include <vector>

#include "benchmarks/workloads/cycle_clock.h"
#include "benchmarks/workloads/histogram.h"
#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

namespace spanmalloc::workloads {
namespace {

constexpr size_t kBlocks = 3'000'000;  // In all threads.
constexpr size_t kLiveBlocks = 4096;   // In all threads.
constexpr size_t kMinSize = 16;
constexpr size_t kMaxSize = 64 << 10;

struct Percentile {
  const char* name;
  double fraction;
};
constexpr Percentile kPercentiles[] = {
    {"p50", 0.5},     {"p90", 0.9},       {"p99", 0.99},
    {"p99.9", 0.999}, {"p99.99", 0.9999}, {"p99.999", 0.99999},
};

// What one thread measured, in ticks.
struct Times {
  Histogram malloc;
  Histogram free;
};

uint64_t FreeTimed(void* block, Histogram& times) {
  const uint64_t tag = TagOf(block);
  const uint64_t before = TicksBefore();
  free(block);
  times.Record(TicksAfter() - before);
  return tag;
}

void* MallocTimed(size_t size, Histogram& times) {
  const uint64_t before = TicksBefore();
  void* block = malloc(size);
  times.Record(TicksAfter() - before);
  return block;
}

uint64_t RunThread(size_t blocks, size_t live_blocks, uint64_t seed, Times& times) {
  Random random(seed);
  std::vector<void*> live(live_blocks);
  uint64_t checksum = 0;
  for (size_t i = 0; i < blocks; ++i) {
    void*& place = live[random.Below(live_blocks)];
    if (place != nullptr) checksum += FreeTimed(place, times.free);
    const size_t size = random.LogUniform(kMinSize, kMaxSize);
    place = MallocTimed(size, times.malloc);
    Touch(place, size, random.Next(), 4096);
  }
  for (void* block : live) {
    if (block != nullptr) checksum += FreeTimed(block, times.free);
  }
  return checksum;
}

void Report(const std::string& function, const Histogram& times, uint64_t overhead,
            double ns_per_tick) {
  const auto nanoseconds = [&](uint64_t ticks) {
    return static_cast<double>(ticks - std::min(ticks, overhead)) * ns_per_tick;
  };
  for (const Percentile& percentile : kPercentiles) {
    ReportMetric(function + "_" + percentile.name + "_ns",
                 nanoseconds(times.Quantile(percentile.fraction)));
  }
  ReportMetric(function + "_max_ns", nanoseconds(times.Max()));
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  const int threads = ThreadCount();
  const size_t blocks = Scaled(kBlocks) / threads;
  const size_t live_blocks = std::max<size_t>(1, kLiveBlocks / threads);
  const double ns_per_tick = NanosecondsPerTick();
  const TimerError error = MeasureTimerError();
  std::vector<Times> times(threads);
  uint64_t checksum;
  if (threads == 1) {
    checksum = RunThread(blocks, live_blocks, 1, times[0]);
  } else {
    checksum =
        RunThreads(threads, [&](int i) { return RunThread(blocks, live_blocks, i + 1, times[i]); });
  }
  for (int i = 1; i < threads; ++i) {
    times[0].malloc.Add(times[i].malloc);
    times[0].free.Add(times[i].free);
  }
  Report("malloc", times[0].malloc, error.overhead, ns_per_tick);
  Report("free", times[0].free, error.overhead, ns_per_tick);
  ReportMetric("timer_overhead_ns", static_cast<double>(error.overhead) * ns_per_tick);
  ReportMetric("timer_resolution_ns", static_cast<double>(error.resolution) * ns_per_tick);
  return Finish("latency", checksum);
}

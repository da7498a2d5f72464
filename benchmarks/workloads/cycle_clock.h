// SPDX-License-Identifier: Apache-2.0
//
// The processor's own counter of time, for the timing of single calls: some tens of cycles to read,
// where clock_gettime would cost as much as the call. It counts at a fixed rate, whatever the clock
// rate of the core, and alike on all cores.

#ifndef BENCHMARKS_WORKLOADS_CYCLE_CLOCK_H_
#define BENCHMARKS_WORKLOADS_CYCLE_CLOCK_H_

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace spanmalloc::workloads {

// The counter before a call: nothing that follows in the program has begun yet.
inline uint64_t TicksBefore() {
#if defined(__x86_64__)
  _mm_lfence();
  const uint64_t ticks = __rdtsc();
  _mm_lfence();
  return ticks;
#elif defined(__aarch64__)
  uint64_t ticks;
  asm volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(ticks) : : "memory");
  return ticks;
#else
#error "no counter of time is known for this processor"
#endif
}

// The counter after a call: all that precedes in the program has been done.
inline uint64_t TicksAfter() {
#if defined(__x86_64__)
  unsigned cpu;
  const uint64_t ticks = __rdtscp(&cpu);
  _mm_lfence();
  return ticks;
#else
  return TicksBefore();
#endif
}

// The length of a tick, measured against the system's clock.
inline double NanosecondsPerTick() {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kTime(20);
  const Clock::time_point start = Clock::now();
  const uint64_t first = TicksBefore();
  Clock::time_point end;
  do {
    end = Clock::now();
  } while (end - start < kTime);
  const uint64_t ticks = TicksBefore() - first;
  return std::chrono::duration<double, std::nano>(end - start).count() / static_cast<double>(ticks);
}

// What the counter itself does to a time, in ticks.
struct TimerError {
  uint64_t overhead;    // What reading it twice adds: the median of many times of nothing.
  uint64_t resolution;  // What it advances by at least: some processors' counts are coarse.
};

inline TimerError MeasureTimerError() {
  std::array<uint64_t, 10001> times;
  uint64_t resolution = UINT64_MAX;
  uint64_t last = TicksBefore();
  for (uint64_t& time : times) {
    const uint64_t before = TicksBefore();
    const uint64_t after = TicksAfter();
    time = after - before;
    for (const uint64_t step : {before - last, after - before}) {
      if (step != 0) resolution = std::min(resolution, step);
    }
    last = after;
  }
  std::sort(times.begin(), times.end());
  // Two times may differ by less than any two reads in a row do.
  for (size_t i = 1; i < times.size(); ++i) {
    if (times[i] != times[i - 1]) resolution = std::min(resolution, times[i] - times[i - 1]);
  }
  return {times[times.size() / 2], resolution};
}

}  // namespace spanmalloc::workloads

#endif  // BENCHMARKS_WORKLOADS_CYCLE_CLOCK_H_

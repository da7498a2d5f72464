// SPDX-License-Identifier: Apache-2.0
//
// Monotonic time for the release policy and statistics. Tests put a fake in its place.
#ifndef SPANMALLOC_ALLOCATOR_OS_CLOCK_H_
#define SPANMALLOC_ALLOCATOR_OS_CLOCK_H_

#include <cstdint>

namespace spanmalloc::os {

class Clock {
 public:
  // Milliseconds since an arbitrary start; a few ms coarse, a few ns cheap.
  virtual uint64_t NowMs() = 0;

 protected:
  ~Clock() = default;
};

class MonotonicClock final : public Clock {
 public:
  constexpr MonotonicClock() = default;
  uint64_t NowMs() override;
};

// Nanoseconds since an arbitrary start, precise.
uint64_t MonotonicNs();

// The same by a system call; 0 if it is refused. Slower, but touches no page of libc's.
uint64_t MonotonicNsOfKernel();

// Nanoseconds of CPU time that the calling thread has used, by a system call; 0 if it is refused.
uint64_t ThreadCpuNs();

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_CLOCK_H_

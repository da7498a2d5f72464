// SPDX-License-Identifier: Apache-2.0
//
// A clock that stands still until the test moves it.
#ifndef SPANMALLOC_TESTS_SUPPORT_FAKE_CLOCK_H_
#define SPANMALLOC_TESTS_SUPPORT_FAKE_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "allocator/os/clock.h"

namespace spanmalloc {

class FakeClock final : public os::Clock {
 public:
  uint64_t NowMs() override {
    calls_.fetch_add(1, std::memory_order_relaxed);
    return now_ms_.load(std::memory_order_relaxed);
  }
  void Advance(uint64_t ms) { now_ms_.fetch_add(ms, std::memory_order_relaxed); }
  uint64_t calls() const { return calls_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> now_ms_{1000};
  std::atomic<uint64_t> calls_{0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_FAKE_CLOCK_H_

// SPDX-License-Identifier: Apache-2.0
//
// Keeps a thread on one CPU, so that a test knows which shard of the central free lists it uses.
#ifndef SPANMALLOC_TESTS_SUPPORT_PIN_TO_CPU_H_
#define SPANMALLOC_TESTS_SUPPORT_PIN_TO_CPU_H_

#include <sched.h>

namespace spanmalloc {

// While it lives, the calling thread runs on the `nth` of the CPUs it may use; none if there are
// fewer. Requires, for the CPU's number to be the shard's: no source of CPU numbers was detected.
class PinToCpu {
 public:
  explicit PinToCpu(int nth) {
    sched_getaffinity(0, sizeof(before_), &before_);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &before_) || nth-- != 0) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      pinned_ = sched_setaffinity(0, sizeof(one), &one) == 0;
      return;
    }
  }
  ~PinToCpu() {
    if (pinned_) sched_setaffinity(0, sizeof(before_), &before_);
  }
  PinToCpu(const PinToCpu&) = delete;
  PinToCpu& operator=(const PinToCpu&) = delete;

  bool pinned() const { return pinned_; }

 private:
  cpu_set_t before_;
  bool pinned_ = false;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_PIN_TO_CPU_H_

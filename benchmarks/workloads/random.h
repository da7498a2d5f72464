// SPDX-License-Identifier: Apache-2.0
//
// The random numbers of the workloads: SplitMix64, seeded by the workload, so that every run and
// every allocator gets the same sizes and lifetimes. One generator per thread; not thread-safe.

#ifndef BENCHMARKS_WORKLOADS_RANDOM_H_
#define BENCHMARKS_WORKLOADS_RANDOM_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc::workloads {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x1234567u) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t value = state_;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
  }

  // A number below `bound`; `bound` is below 2^32. A multiply instead of a division.
  size_t Below(size_t bound) { return (static_cast<size_t>(Next() >> 32) * bound) >> 32; }

  // A number in [low, high].
  size_t Between(size_t low, size_t high) { return low + Below(high - low + 1); }

  // A size in [low, high) whose logarithm is uniform: each doubling is equally likely. Both
  // bounds are powers of two.
  size_t LogUniform(size_t low, size_t high) {
    const size_t doublings = __builtin_ctzll(high) - __builtin_ctzll(low);
    const size_t base = low << Below(doublings);
    return base + Below(base);
  }

 private:
  uint64_t state_;
};

}  // namespace spanmalloc::workloads

#endif  // BENCHMARKS_WORKLOADS_RANDOM_H_

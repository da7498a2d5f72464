// SPDX-License-Identifier: Apache-2.0
//
// A histogram of times that keeps every one of them to 1.6 %: 64 buckets to each doubling. Its
// counts are inside it, so that recording allocates nothing. Not thread-safe: one per thread, added
// up at the end.

#ifndef BENCHMARKS_WORKLOADS_HISTOGRAM_H_
#define BENCHMARKS_WORKLOADS_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace spanmalloc::workloads {

class Histogram {
 public:
  void Record(uint64_t value) {
    ++counts_[BucketOf(value)];
    ++total_;
    max_ = std::max(max_, value);
  }

  void Add(const Histogram& other) {
    for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    max_ = std::max(max_, other.max_);
  }

  // A value that at most 1 - `fraction` of all exceed: the largest value of the bucket in which the
  // fraction lies. 0 if nothing was recorded.
  uint64_t Quantile(double fraction) const {
    const auto rank = static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(total_)));
    uint64_t seen = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      seen += counts_[i];
      if (seen >= std::max<uint64_t>(rank, 1)) return std::min(LargestOf(i), max_);
    }
    return max_;
  }

  uint64_t Max() const { return max_; }

 private:
  static constexpr int kBits = 6;
  static constexpr size_t kPerDoubling = size_t{1} << kBits;
  static constexpr size_t kBuckets = (64 - kBits + 1) * kPerDoubling;

  static size_t BucketOf(uint64_t value) {
    if (value < kPerDoubling) return value;
    const int shift = std::bit_width(value) - 1 - kBits;
    return static_cast<size_t>(shift) * kPerDoubling + (value >> shift);
  }

  static uint64_t LargestOf(size_t bucket) {
    if (bucket < 2 * kPerDoubling) return bucket;
    const size_t shift = bucket / kPerDoubling - 1;
    const uint64_t first = kPerDoubling + bucket % kPerDoubling;
    return ((first + 1) << shift) - 1;
  }

  std::array<uint64_t, kBuckets> counts_ = {};
  uint64_t total_ = 0;
  uint64_t max_ = 0;
};

}  // namespace spanmalloc::workloads

#endif  // BENCHMARKS_WORKLOADS_HISTOGRAM_H_

// SPDX-License-Identifier: Apache-2.0
//
// A set of size classes that tells where a look may be worth it: set by whoever sees that it is,
// cleared by whoever looks. Used by the central lists. Needs no lock: what is set while another
// thread clears it is lost until it is set again.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_CLASS_HINTS_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_CLASS_HINTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/params/size_class_table.h"

namespace spanmalloc {

class ClassHints {
 public:
  constexpr ClassHints() = default;

  bool Has(size_t c) const {
    return (words_[c / 64].load(std::memory_order_relaxed) & BitOf(c)) != 0;
  }
  bool Any() const {
    uint64_t any = 0;
    for (const std::atomic<uint64_t>& word : words_) any |= word.load(std::memory_order_relaxed);
    return any != 0;
  }
  void Set(size_t c) {
    if (!Has(c)) words_[c / 64].fetch_or(BitOf(c), std::memory_order_relaxed);
  }
  void Clear(size_t c) {
    if (Has(c)) words_[c / 64].fetch_and(~BitOf(c), std::memory_order_relaxed);
  }

 private:
  static uint64_t BitOf(size_t c) { return uint64_t{1} << (c % 64); }

  std::atomic<uint64_t> words_[(kSizeClassEnd + 63) / 64] = {};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_CLASS_HINTS_H_

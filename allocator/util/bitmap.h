// SPDX-License-Identifier: Apache-2.0
//
// A bitmap of fixed length with the searches the heap needs: the next set or clear bit, runs of
// clear bits, and ranges set or cleared at once. Plain data; the owner's lock guards it.
#ifndef SPANMALLOC_ALLOCATOR_UTIL_BITMAP_H_
#define SPANMALLOC_ALLOCATOR_UTIL_BITMAP_H_

#include <cstddef>
#include <cstdint>

#include "absl/numeric/bits.h"

namespace spanmalloc {

// The searches, on the words of a bitmap of any length.
namespace bitmap_internal {

template <typename Apply>
void ForRange(uint64_t* words, size_t begin, size_t count, Apply apply) {
  const size_t end = begin + count;
  while (begin < end) {
    const size_t offset = begin % 64;
    const size_t length = end - begin < 64 - offset ? end - begin : 64 - offset;
    const uint64_t mask = (length == 64 ? ~uint64_t{0} : (uint64_t{1} << length) - 1) << offset;
    apply(words[begin / 64], mask);
    begin += length;
  }
}

// The first bit at or after `from` that differs from those of `invert`; `bits` if there is none.
inline size_t Find(const uint64_t* words, size_t bits, size_t from, uint64_t invert) {
  if (from >= bits) return bits;
  size_t i = from / 64;
  uint64_t word = (words[i] ^ invert) & (~uint64_t{0} << (from % 64));
  while (word == 0) {
    if (++i == bits / 64) return bits;
    word = words[i] ^ invert;
  }
  return i * 64 + static_cast<size_t>(absl::countr_zero(word));
}

}  // namespace bitmap_internal

template <size_t kBits>
class Bitmap {
  static_assert(kBits % 64 == 0);

 public:
  static constexpr size_t kSize = kBits;

  constexpr Bitmap() = default;

  bool Get(size_t i) const { return (words_[i / 64] >> (i % 64)) & 1; }
  void Set(size_t i) { words_[i / 64] |= uint64_t{1} << (i % 64); }
  void Clear(size_t i) { words_[i / 64] &= ~(uint64_t{1} << (i % 64)); }

  // Sets or clears bits [begin, begin + count).
  void SetRange(size_t begin, size_t count) {
    ForRange(begin, count, [](uint64_t& word, uint64_t mask) { word |= mask; });
  }
  void ClearRange(size_t begin, size_t count) {
    ForRange(begin, count, [](uint64_t& word, uint64_t mask) { word &= ~mask; });
  }

  // The number of set bits, in all or in [begin, begin + count).
  size_t Count() const { return CountRange(0, kBits); }
  size_t CountRange(size_t begin, size_t count) const {
    size_t total = 0;
    const_cast<Bitmap*>(this)->ForRange(begin, count, [&total](uint64_t& word, uint64_t mask) {
      total += static_cast<size_t>(absl::popcount(word & mask));
    });
    return total;
  }

  // The first set (clear) bit at or after `from`; kBits if there is none.
  size_t FindSet(size_t from) const { return Find(from, 0); }
  size_t FindClear(size_t from) const { return Find(from, ~uint64_t{0}); }

  // The last set bit; kBits if there is none.
  size_t FindLastSet() const {
    for (size_t i = kBits / 64; i-- > 0;) {
      if (words_[i] != 0) return i * 64 + 63 - static_cast<size_t>(absl::countl_zero(words_[i]));
    }
    return kBits;
  }

  // The start of the first run of `count` clear bits that begins at a multiple of `alignment`;
  // kBits if there is none.
  size_t FindClearRun(size_t count, size_t alignment = 1) const {
    size_t begin = FindClear(0);
    while (begin + count <= kBits) {
      begin = (begin + alignment - 1) / alignment * alignment;
      if (begin + count > kBits) break;
      const size_t end = FindSet(begin);
      if (end - begin >= count) return begin;
      begin = FindClear(end);
    }
    return kBits;
  }

  // The length of the longest run of clear bits.
  size_t LongestClearRun() const {
    size_t longest = 0;
    for (size_t begin = FindClear(0); begin < kBits;) {
      const size_t end = FindSet(begin);
      if (end - begin > longest) longest = end - begin;
      begin = end < kBits ? FindClear(end) : kBits;
    }
    return longest;
  }

  // The length of the run of clear bits that bit `i`, which is clear, belongs to.
  size_t ClearRunAround(size_t i) const { return FindSet(i) - FindSetBefore(i); }

  uint64_t word(size_t i) const { return words_[i]; }

 private:
  template <typename Apply>
  void ForRange(size_t begin, size_t count, Apply apply) {
    bitmap_internal::ForRange(words_, begin, count, apply);
  }

  // One more than the last set bit before `i`; 0 if there is none.
  size_t FindSetBefore(size_t i) const {
    size_t w = i / 64;
    uint64_t word = words_[w] & ((uint64_t{1} << (i % 64)) - 1);
    while (word == 0) {
      if (w-- == 0) return 0;
      word = words_[w];
    }
    return w * 64 + 64 - static_cast<size_t>(absl::countl_zero(word));
  }

  size_t Find(size_t from, uint64_t invert) const {
    return bitmap_internal::Find(words_, kBits, from, invert);
  }

  uint64_t words_[kBits / 64] = {};
};

// As a Bitmap, over words that somebody else holds. `bits` is a multiple of 64.
class BitmapView {
 public:
  BitmapView(uint64_t* words, size_t bits) : words_(words), bits_(bits) {}

  bool Get(size_t i) const { return (words_[i / 64] >> (i % 64)) & 1; }
  void SetRange(size_t begin, size_t count) {
    bitmap_internal::ForRange(words_, begin, count,
                              [](uint64_t& word, uint64_t mask) { word |= mask; });
  }
  size_t FindClear(size_t from) const {
    return bitmap_internal::Find(words_, bits_, from, ~uint64_t{0});
  }
  size_t Count() const {
    size_t total = 0;
    for (size_t w = 0; w < bits_ / 64; ++w) total += static_cast<size_t>(absl::popcount(words_[w]));
    return total;
  }

 private:
  uint64_t* words_;
  size_t bits_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_UTIL_BITMAP_H_

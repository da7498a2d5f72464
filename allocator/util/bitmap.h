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

// Calls apply(word, mask) for the words that bits [begin, begin + count) are part of.
template <typename Apply>
void ForRange(uint64_t* words, size_t begin, size_t count, Apply apply) {
  if (count == 0) return;
  const size_t last = begin + count - 1;
  const uint64_t from_begin = ~uint64_t{0} << (begin % 64);
  const uint64_t to_last = ~uint64_t{0} >> (63 - last % 64);
  size_t i = begin / 64;
  if (i == last / 64) return apply(words[i], from_begin & to_last);
  apply(words[i], from_begin);
  while (++i != last / 64) apply(words[i], ~uint64_t{0});
  apply(words[i], to_last);
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

  // The start of the first run of `count` clear bits that begins at a multiple of `alignment`, a
  // power of two; kBits if there is none.
  size_t FindClearRun(size_t count, size_t alignment = 1) const {
    size_t begin = FindClear(0);
    while (begin + count <= kBits) {
      begin = (begin + alignment - 1) & ~(alignment - 1);
      if (begin + count > kBits) break;
      const size_t end = FindSet(begin);
      if (end - begin >= count) return begin;
      begin = FindClear(end);
    }
    return kBits;
  }

  // The length of the longest run of clear bits. `clear`: how many there are; `known`: the length
  // of one of the runs. The search ends where no other can be longer.
  size_t LongestClearRun(size_t clear, size_t known = 0) const {
    size_t longest = known;
    for (size_t end = 0; clear > longest;) {
      const size_t begin = FindClear(end);
      end = FindSet(begin);
      if (end - begin > longest) longest = end - begin;
      clear -= end - begin;
    }
    return longest;
  }

  // Whether all of [begin, begin + count) are set.
  bool AllSet(size_t begin, size_t count) const {
    bool all = true;
    const_cast<Bitmap*>(this)->ForRange(begin, count, [&all](uint64_t& word, uint64_t mask) {
      all = all && (word & mask) == mask;
    });
    return all;
  }

  // The run of clear bits that bit `i`, which is clear, belongs to.
  struct Run {
    size_t begin;
    size_t end;
    size_t length() const { return end - begin; }
  };
  Run ClearRunAround(size_t i) const { return {FindSetBefore(i), FindSet(i)}; }

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

// SPDX-License-Identifier: Apache-2.0
//
// Tables of texts without pointers: all texts in one array of characters, and numbers that say
// where each begins. A pointer in a constant table costs a relocation in every process that loads
// the library, and makes its page a private one.
#ifndef SPANMALLOC_ALLOCATOR_UTIL_PACKED_TEXTS_H_
#define SPANMALLOC_ALLOCATOR_UTIL_PACKED_TEXTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spanmalloc {

// Of `kCount` texts, each followed by `end`, where each begins; then where one more would.
template <size_t kCount, size_t kSize>
constexpr std::array<uint16_t, kCount + 1> TextStarts(const char (&texts)[kSize], char end) {
  static_assert(kSize <= UINT16_MAX);
  std::array<uint16_t, kCount + 1> starts = {};
  size_t at = 0;
  for (size_t i = 0; i < kCount; ++i) {
    while (texts[at] != end) ++at;
    starts[i + 1] = static_cast<uint16_t>(++at);
  }
  return starts;
}

// The text number `i`, without what follows it.
template <size_t kStarts>
constexpr std::string_view TextAt(const char* texts, const std::array<uint16_t, kStarts>& starts,
                                  size_t i) {
  return {texts + starts[i], static_cast<size_t>(starts[i + 1] - starts[i] - 1)};
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_UTIL_PACKED_TEXTS_H_

// SPDX-License-Identifier: Apache-2.0
//
// Parts of a text that the kernel wrote: fields and numbers. Pure functions.
#ifndef SPANMALLOC_ALLOCATOR_UTIL_TEXT_PARTS_H_
#define SPANMALLOC_ALLOCATOR_UTIL_TEXT_PARTS_H_

#include <cstddef>
#include <string_view>

namespace spanmalloc {

// Cuts off and returns what comes before the first `separator`, which is dropped.
inline std::string_view CutText(std::string_view* text, char separator) {
  const size_t at = text->find(separator);
  std::string_view head(text->data(), at == text->npos ? text->size() : at);
  text->remove_prefix(at == text->npos ? text->size() : at + 1);
  return head;
}

// The number that a text starts with, 0 if there is none. One too long is very large.
inline size_t LeadingNumber(std::string_view text) {
  size_t number = 0;
  for (char c : text) {
    if (c < '0' || c > '9' || number > ~size_t{0} / 16) break;
    number = number * 10 + static_cast<size_t>(c - '0');
  }
  return number;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_UTIL_TEXT_PARTS_H_

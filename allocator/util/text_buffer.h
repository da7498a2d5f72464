// SPDX-License-Identifier: Apache-2.0
//
// Text composed in storage that the caller owns, without allocating: one-line reports and the
// statistics dump. What doesn't fit is cut off. Not thread-safe; a buffer belongs to one call.
#ifndef SPANMALLOC_ALLOCATOR_UTIL_TEXT_BUFFER_H_
#define SPANMALLOC_ALLOCATOR_UTIL_TEXT_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spanmalloc {

class TextBuffer {
 public:
  // `capacity` >= 1; one byte is kept for the terminating NUL.
  TextBuffer(char* storage, size_t capacity) : storage_(storage), capacity_(capacity - 1) {
    storage_[0] = '\0';
  }

  TextBuffer& operator<<(std::string_view text) {
    for (char c : text) Put(c);
    return *this;
  }
  TextBuffer& operator<<(const char* text) { return *this << std::string_view(text); }
  TextBuffer& operator<<(char c) {
    Put(c);
    return *this;
  }
  TextBuffer& operator<<(uint64_t value) { return Digits(value, 10, 1); }
  TextBuffer& operator<<(uint32_t value) { return Digits(value, 10, 1); }
  TextBuffer& operator<<(int64_t value) {
    if (value < 0) Put('-');
    return Digits(value < 0 ? -static_cast<uint64_t>(value) : static_cast<uint64_t>(value), 10, 1);
  }
  TextBuffer& operator<<(int value) { return *this << static_cast<int64_t>(value); }
  TextBuffer& operator<<(const void* pointer) {
    *this << "0x";
    return Digits(reinterpret_cast<uintptr_t>(pointer), 16, 1);
  }

  // `value` in decimal, at least `width` digits, filled with zeros.
  TextBuffer& Padded(uint64_t value, int width) { return Digits(value, 10, width); }

  std::string_view text() const { return {storage_, size_}; }
  const char* c_str() const { return storage_; }
  size_t size() const { return size_; }
  size_t room() const { return capacity_ - size_; }
  void Clear() {
    size_ = 0;
    storage_[0] = '\0';
  }

 private:
  void Put(char c) {
    if (size_ == capacity_) return;
    storage_[size_++] = c;
    storage_[size_] = '\0';
  }

  TextBuffer& Digits(uint64_t value, unsigned base, int width) {
    char digits[64];
    int n = 0;
    for (; value != 0 || n < width; value /= base) digits[n++] = "0123456789abcdef"[value % base];
    while (n > 0) Put(digits[--n]);
    return *this;
  }

  char* const storage_;
  const size_t capacity_;
  size_t size_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_UTIL_TEXT_BUFFER_H_

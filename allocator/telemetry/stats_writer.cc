// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/stats_writer.h"

#include <string.h>

namespace spanmalloc {

StatsWriter& StatsWriter::operator<<(std::string_view text) {
  while (!text.empty()) {
    if (size_ == capacity_) Flush();
    const size_t room = capacity_ - size_;
    const size_t count = text.size() < room ? text.size() : room;
    memcpy(buffer_ + size_, text.data(), count);
    size_ += count;
    text.remove_prefix(count);
  }
  return *this;
}

StatsWriter& StatsWriter::Column(std::string_view text, size_t width) {
  *this << " ";
  for (size_t i = text.size(); i < width; ++i) *this << " ";
  return *this << text;
}

StatsWriter& StatsWriter::Column(uint64_t value, size_t width) {
  char digits[32];
  TextBuffer text(digits, sizeof(digits));
  text << value;
  return Column(text.text(), width);
}

StatsWriter& StatsWriter::Fraction(uint64_t thousandths, size_t width) {
  char digits[32];
  TextBuffer text(digits, sizeof(digits));
  text << thousandths / 1000 << '.';
  text.Padded(thousandths % 1000, 3);
  return Column(text.text(), width);
}

void StatsWriter::Flush() {
  if (size_ == 0) return;
  buffer_[size_] = '\0';
  size_ = 0;
  callback_(opaque_, buffer_);
}

}  // namespace spanmalloc

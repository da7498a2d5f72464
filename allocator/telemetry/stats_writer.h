// SPDX-License-Identifier: Apache-2.0
//
// Output for statistics: text gathered in a buffer that the caller owns and handed to a callback
// when the buffer is full and at the end, so that an output smaller than the buffer arrives in one
// call (readers parse a call as a document). Columns for the text dump, and JSON's commas and
// quotes. Allocates nothing; belongs to one call of the dump.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_WRITER_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "allocator/util/text_buffer.h"

namespace spanmalloc {

// Receives NUL-terminated pieces.
using StatsCallback = void (*)(void* opaque, const char* piece);

class StatsWriter {
 public:
  // `capacity` >= 2.
  StatsWriter(char* buffer, size_t capacity, StatsCallback callback, void* opaque)
      : buffer_(buffer), capacity_(capacity - 1), callback_(callback), opaque_(opaque) {}
  StatsWriter(const StatsWriter&) = delete;
  StatsWriter& operator=(const StatsWriter&) = delete;
  ~StatsWriter() { Flush(); }

  StatsWriter& operator<<(std::string_view text);
  StatsWriter& operator<<(const char* text) { return *this << std::string_view(text); }
  StatsWriter& operator<<(bool value) { return *this << (value ? "true" : "false"); }
  template <typename Number>
    requires(sizeof(Number) >= 4)
  StatsWriter& operator<<(Number value) {
    char digits[32];
    TextBuffer text(digits, sizeof(digits));
    text << value;
    return *this << text.text();
  }

  // `value` right-aligned in `width` characters after a space.
  StatsWriter& Column(uint64_t value, size_t width);
  StatsWriter& Column(std::string_view text, size_t width);
  // `thousandths` / 1000, with three decimals.
  StatsWriter& Fraction(uint64_t thousandths, size_t width);

  // Hands over what is gathered.
  void Flush();

 private:
  char* const buffer_;
  const size_t capacity_;
  const StatsCallback callback_;
  void* const opaque_;
  size_t size_ = 0;
};

// JSON without white space. Calls must nest properly; keys need no escapes.
class JsonWriter {
 public:
  explicit JsonWriter(StatsWriter& out) : out_(out) {}

  void OpenObject(std::string_view key = {}) { Open(key, "{"); }
  void CloseObject() { Close("}"); }
  void OpenArray(std::string_view key) { Open(key, "["); }
  void CloseArray() { Close("]"); }

  template <typename Value>
  void Field(std::string_view key, Value value) {
    Key(key);
    out_ << value;
  }
  void Field(std::string_view key, const char* value) {
    Key(key);
    out_ << "\"";
    for (; *value != '\0'; ++value) PutEscaped(*value);
    out_ << "\"";
  }

 private:
  void PutEscaped(char c) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out_ << "\\";
    } else if (code < 0x20) {
      out_ << (code < 0x10 ? "\\u000" : "\\u001");
      out_ << std::string_view(&"0123456789abcdef"[code % 16], 1);
      return;
    }
    out_ << std::string_view(&c, 1);
  }
  void Key(std::string_view key) {
    if (comma_) out_ << ",";
    comma_ = true;
    if (!key.empty()) out_ << "\"" << key << "\":";
  }
  void Open(std::string_view key, std::string_view bracket) {
    Key(key);
    out_ << bracket;
    comma_ = false;
  }
  void Close(std::string_view bracket) {
    out_ << bracket;
    comma_ = true;
  }

  StatsWriter& out_;
  bool comma_ = false;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_STATS_WRITER_H_

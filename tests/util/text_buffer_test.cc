// SPDX-License-Identifier: Apache-2.0
//
// util/text_buffer.h against snprintf, and at the edge of its storage.
#include "allocator/util/text_buffer.h"

#include <cinttypes>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

template <typename T>
std::string Written(T value) {
  char storage[64];
  TextBuffer text(storage, sizeof(storage));
  text << value;
  return std::string(text.text());
}

TEST(TextBufferTest, StartsEmptyAndTerminated) {
  char storage[8];
  memset(storage, 'x', sizeof(storage));
  TextBuffer text(storage, sizeof(storage));
  EXPECT_EQ(text.size(), 0u);
  EXPECT_EQ(text.room(), 7u);
  EXPECT_STREQ(text.c_str(), "");
}

TEST(TextBufferTest, WritesNumbersAtTheirLimits) {
  EXPECT_EQ(Written(uint64_t{0}), "0");
  EXPECT_EQ(Written(UINT64_MAX), "18446744073709551615");
  EXPECT_EQ(Written(UINT32_MAX), "4294967295");
  EXPECT_EQ(Written(INT64_MAX), "9223372036854775807");
  EXPECT_EQ(Written(INT64_MIN), "-9223372036854775808");
  EXPECT_EQ(Written(INT_MIN), "-2147483648");
  EXPECT_EQ(Written(-1), "-1");
}

TEST(TextBufferTest, WritesPointersInHexadecimal) {
  EXPECT_EQ(Written(static_cast<const void*>(nullptr)), "0x0");
  EXPECT_EQ(Written(reinterpret_cast<const void*>(0x10deadbeef90)), "0x10deadbeef90");
  EXPECT_EQ(Written(reinterpret_cast<const void*>(UINTPTR_MAX)), "0xffffffffffffffff");
}

TEST(TextBufferTest, PadsWithZerosAndNeverCuts) {
  char storage[64];
  TextBuffer text(storage, sizeof(storage));
  text.Padded(0, 3) << ' ';
  text.Padded(7, 3) << ' ';
  text.Padded(1234, 3);
  EXPECT_EQ(text.text(), "000 007 1234");
}

TEST(TextBufferTest, RandomNumbersReadAsPrintfWritesThem) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t value = random() >> random() % 64;
    char expected[64];
    snprintf(expected, sizeof(expected), "%" PRIu64, value);
    ASSERT_EQ(Written(value), expected);
    snprintf(expected, sizeof(expected), "%" PRId64, static_cast<int64_t>(value));
    ASSERT_EQ(Written(static_cast<int64_t>(value)), expected);
  }
}

TEST(TextBufferTest, CutsOffWhatDoesNotFit) {
  char storage[9];
  memset(storage, '#', sizeof(storage));
  TextBuffer text(storage, 8);
  text << "abc" << uint64_t{123456} << 'z';
  EXPECT_EQ(text.text(), "abc1234");
  EXPECT_EQ(text.room(), 0u);
  EXPECT_EQ(storage[7], '\0');
  EXPECT_EQ(storage[8], '#') << "written past the storage";
}

TEST(TextBufferTest, OneByteOfStorageHoldsNothing) {
  char storage[2] = {'x', '#'};
  TextBuffer text(storage, 1);
  text << "text" << 1;
  EXPECT_STREQ(text.c_str(), "");
  EXPECT_EQ(storage[1], '#');
}

TEST(TextBufferTest, ClearMakesRoom) {
  char storage[4];
  TextBuffer text(storage, sizeof(storage));
  text << "abcdef";
  text.Clear();
  EXPECT_STREQ(text.c_str(), "");
  text << "xy";
  EXPECT_EQ(text.text(), "xy");
}

}  // namespace
}  // namespace spanmalloc

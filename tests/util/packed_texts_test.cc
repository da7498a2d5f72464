// SPDX-License-Identifier: Apache-2.0
#include "allocator/util/packed_texts.h"

#include <gtest/gtest.h>

namespace spanmalloc {
namespace {

constexpr char kTexts[] =
    "one\0"
    "\0"
    "3 words here\0";
constexpr auto kStarts = TextStarts<3>(kTexts, '\0');

TEST(PackedTextsTest, EachTextIsFoundByItsNumber) {
  EXPECT_EQ(TextAt(kTexts, kStarts, 0), "one");
  EXPECT_EQ(TextAt(kTexts, kStarts, 1), "");
  EXPECT_EQ(TextAt(kTexts, kStarts, 2), "3 words here");
}

TEST(PackedTextsTest, ATextEndsWhereItIsSaidTo) {
  static constexpr char kLines[] = "a\nbc\n";
  static constexpr auto kLineStarts = TextStarts<2>(kLines, '\n');
  EXPECT_EQ(TextAt(kLines, kLineStarts, 0), "a");
  EXPECT_EQ(TextAt(kLines, kLineStarts, 1), "bc");
  EXPECT_EQ(kLineStarts.back(), sizeof(kLines) - 1);
}

TEST(PackedTextsTest, WithAZeroBehindThemTextsAreStringsOfC) {
  EXPECT_STREQ(TextAt(kTexts, kStarts, 2).data(), "3 words here");
}

}  // namespace
}  // namespace spanmalloc

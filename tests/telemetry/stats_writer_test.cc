// SPDX-License-Identifier: Apache-2.0
//
// The writer of statistics: pieces, columns, JSON's punctuation.
#include "allocator/telemetry/stats_writer.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

void Append(void* pieces, const char* piece) {
  static_cast<std::vector<std::string>*>(pieces)->emplace_back(piece);
}

class StatsWriterTest : public ::testing::Test {
 protected:
  std::vector<std::string> pieces_;
  char buffer_[64];
};

TEST_F(StatsWriterTest, WhatFitsArrivesInOnePieceAtTheEnd) {
  {
    StatsWriter out(buffer_, sizeof(buffer_), Append, &pieces_);
    out << "a" << uint64_t{12} << int64_t{-3} << true << 7u;
    EXPECT_THAT(pieces_, IsEmpty());
  }
  EXPECT_THAT(pieces_, ElementsAre("a12-3true7"));
}

TEST_F(StatsWriterTest, NothingWrittenIsNoPiece) {
  {
    StatsWriter out(buffer_, sizeof(buffer_), Append, &pieces_);
  }
  EXPECT_THAT(pieces_, IsEmpty());
}

TEST_F(StatsWriterTest, WhatDoesNotFitArrivesWhole) {
  {
    StatsWriter out(buffer_, 5, Append, &pieces_);
    out << "abcdefghij";
  }
  EXPECT_THAT(pieces_, ElementsAre("abcd", "efgh", "ij"));
}

TEST_F(StatsWriterTest, ColumnsAlignOnTheRight) {
  {
    StatsWriter out(buffer_, sizeof(buffer_), Append, &pieces_);
    out.Column("ab", 4).Column(uint64_t{123}, 5).Column(uint64_t{123456}, 2).Fraction(1500, 7);
  }
  EXPECT_THAT(pieces_, ElementsAre("   ab   123 123456   1.500"));
}

TEST_F(StatsWriterTest, JsonHasItsCommas) {
  {
    StatsWriter out(buffer_, sizeof(buffer_), Append, &pieces_);
    JsonWriter json(out);
    json.OpenObject();
    json.Field("a", 1u);
    json.OpenArray("b");
    json.OpenObject();
    json.CloseObject();
    json.OpenObject();
    json.Field("c", "d");
    json.Field("e", false);
    json.CloseObject();
    json.CloseArray();
    json.Field("f", int64_t{-1});
    json.CloseObject();
  }
  EXPECT_THAT(pieces_, ElementsAre(R"({"a":1,"b":[{},{"c":"d","e":false}],"f":-1})"));
}

}  // namespace
}  // namespace spanmalloc

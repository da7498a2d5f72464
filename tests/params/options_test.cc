// SPDX-License-Identifier: Apache-2.0
//
// The options' parser: what it sets, what it says about what it can't, and that no text whatever
// makes it set a value out of bounds.
#include "allocator/params/options.h"

#include <random>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string>& Lines() {
  static std::vector<std::string> lines;
  return lines;
}

void Note(std::string_view line) { Lines().emplace_back(line); }

struct Outcome {
  bool good;
  Options options;
  std::vector<std::string> lines;
};

Outcome Parse(std::string_view text, Options options = {}) {
  Lines().clear();
  const bool good = ParseOptions(text, "SPANMALLOC_CONF", &options, Note);
  return {good, options, Lines()};
}

TEST(OptionsTest, DefaultsHoldWithoutAnyText) {
  const Outcome outcome = Parse("");
  EXPECT_TRUE(outcome.good);
  EXPECT_THAT(outcome.lines, IsEmpty());
  EXPECT_EQ(outcome.options.dirty_decay_ms, 2000);
  EXPECT_TRUE(outcome.options.tcache);
  EXPECT_TRUE(outcome.options.abort_on_error);
  EXPECT_FALSE(outcome.options.abort_conf);
  EXPECT_STREQ(outcome.options.zero_realloc, "free");
  EXPECT_STREQ(outcome.options.stats_print_opts.text, "");
}

TEST(OptionsTest, EveryKindIsSet) {
  const Outcome outcome = Parse(
      "tcache:false,dirty_decay_ms:-1,thread_cache_bytes:33554432,zero_realloc:abort,"
      "stats_print_opts:Jmda");
  EXPECT_TRUE(outcome.good);
  EXPECT_THAT(outcome.lines, IsEmpty());
  EXPECT_FALSE(outcome.options.tcache);
  EXPECT_EQ(outcome.options.dirty_decay_ms, -1);
  EXPECT_EQ(outcome.options.thread_cache_bytes, size_t{33554432});
  EXPECT_STREQ(outcome.options.zero_realloc, "abort");
  EXPECT_STREQ(outcome.options.stats_print_opts.text, "Jmda");
}

TEST(OptionsTest, TheLastOfTwoValuesHolds) {
  EXPECT_EQ(Parse("dirty_decay_ms:1,dirty_decay_ms:2").options.dirty_decay_ms, 2);
  Options options;
  options.dirty_decay_ms = 7;
  EXPECT_EQ(Parse("tcache:false", options).options.dirty_decay_ms, 7);
}

TEST(OptionsTest, AStringWrittenForJemallocIsTaken) {
  const Outcome outcome = Parse(
      "background_thread:true,metadata_thp:auto,dirty_decay_ms:30000,muzzy_decay_ms:30000,"
      "narenas:4,lg_tcache_max:13,oversize_threshold:0,percpu_arena:percpu,retain:false");
  EXPECT_TRUE(outcome.good);
  EXPECT_THAT(outcome.lines, IsEmpty());
  EXPECT_EQ(outcome.options.dirty_decay_ms, 30000);
}

TEST(OptionsTest, WhatIsOnlyAcceptedDoesNotChangeWhatIsInEffect) {
  const Options options = Parse("metadata_thp:always,narenas:9,retain:false").options;
  EXPECT_STREQ(options.metadata_thp, "disabled");
  EXPECT_EQ(options.narenas, 1u);
  EXPECT_TRUE(options.retain);
}

TEST(OptionsTest, AskingForWhatIsNotThereIsReported) {
  EXPECT_TRUE(Parse("zero:false,junk:false,prof:false").good);
  const Outcome outcome = Parse("zero:true");
  EXPECT_FALSE(outcome.good);
  EXPECT_FALSE(outcome.options.zero);
  EXPECT_THAT(
      outcome.lines,
      ElementsAre("spanmalloc: unsupported option \"zero:true\" in SPANMALLOC_CONF (ignored)\n"));
}

TEST(OptionsTest, EachFaultHasItsLineAndTheRestIsTaken) {
  const Outcome outcome = Parse("foo:bar,tcache,dirty_decay_ms:soon,thp:maybe,stats_print:true");
  EXPECT_FALSE(outcome.good);
  EXPECT_TRUE(outcome.options.stats_print);
  EXPECT_EQ(outcome.options.dirty_decay_ms, 2000);
  EXPECT_THAT(
      outcome.lines,
      ElementsAre(
          "spanmalloc: unknown option \"foo:bar\" in SPANMALLOC_CONF (ignored)\n",
          "spanmalloc: malformed option \"tcache\" in SPANMALLOC_CONF, expected name:value "
          "(ignored)\n",
          "spanmalloc: bad value in option \"dirty_decay_ms:soon\" in SPANMALLOC_CONF, expected -1 "
          "to 18446744072000 (ignored)\n",
          "spanmalloc: bad value in option \"thp:maybe\" in SPANMALLOC_CONF, expected default, "
          "always or never (ignored)\n"));
}

TEST(OptionsTest, SpanLengthsAreKeptAsTheyWereGiven) {
  EXPECT_STREQ(Options().slab_sizes.text, "default");
  const Outcome outcome = Parse("slab_sizes:1-4096:17|100-200:1|128-128:2,tcache:false");
  EXPECT_TRUE(outcome.good);
  EXPECT_STREQ(outcome.options.slab_sizes.text, "1-4096:17|100-200:1|128-128:2");
  EXPECT_FALSE(outcome.options.tcache);
  EXPECT_THAT(
      Parse("slab_sizes:1-4096").lines,
      ElementsAre("spanmalloc: bad value in option \"slab_sizes:1-4096\" in "
                  "SPANMALLOC_CONF, expected lowest-highest:pages, joined by vertical bars, "
                  "or default (ignored)\n"));
  std::string text;
  while (text.size() + 6 <= OptionSpanLengths::kMaxSize) text += "1-2:3|";
  EXPECT_TRUE(Parse("slab_sizes:" + text).good);
  EXPECT_FALSE(Parse("slab_sizes:" + text + "1-2:3|").good);
}

TEST(OptionsTest, NumbersOutOfBoundsAreRefused) {
  for (const char* value : {"-2", "18446744072001", "9223372036854775807", "9223372036854775808",
                            "99999999999999999999999", "", "-", "1x", "0x10", " 1"}) {
    const Outcome outcome = Parse(std::string("dirty_decay_ms:") + value);
    EXPECT_FALSE(outcome.good) << value;
    EXPECT_EQ(outcome.options.dirty_decay_ms, 2000) << value;
  }
  EXPECT_EQ(Parse("dirty_decay_ms:18446744072000").options.dirty_decay_ms, kMaxDecayMs);
  EXPECT_FALSE(Parse("thread_cache_bytes:-1").good);
}

TEST(OptionsTest, EmptyPairsAreMalformed) {
  for (const char* text : {",", "tcache:true,,retain:true", ":", ":true", ",tcache:true"}) {
    EXPECT_FALSE(Parse(text).good) << text;
  }
}

TEST(OptionsTest, AbortConfHoldsForPairsBeforeIt) {
  const Outcome outcome = Parse("foo:bar,abort_conf:true");
  EXPECT_TRUE(outcome.options.abort_conf);
  EXPECT_FALSE(outcome.good);
  EXPECT_THAT(outcome.lines, ElementsAre(HasSubstr("(abort_conf)")));
}

TEST(OptionsTest, ConfirmConfNamesWhatIsTaken) {
  EXPECT_THAT(Parse("tcache:false,confirm_conf:true").lines,
              ElementsAre("spanmalloc: option \"tcache:false\" in SPANMALLOC_CONF\n",
                          "spanmalloc: option \"confirm_conf:true\" in SPANMALLOC_CONF\n"));
}

TEST(OptionsTest, ReportsArePrintableAndOfBoundedLength) {
  const Outcome outcome = Parse(std::string(5000, 'a') + "\x1b\n:\x01");
  ASSERT_EQ(outcome.lines.size(), 1u);
  EXPECT_LT(outcome.lines[0].size(), 200u);
  EXPECT_THAT(Parse("a\x1b\n:b").lines,
              ElementsAre("spanmalloc: unknown option \"a??:b\" in SPANMALLOC_CONF (ignored)\n"));
}

TEST(OptionsTest, TheTableIsComplete) {
  std::set<std::string> names;
  const Options defaults;
  for (size_t row = 0; row < OptionCount(); ++row) {
    const OptionInfo info = OptionAt(row);
    EXPECT_TRUE(names.insert(info.name).second) << info.name << " has two rows";
    const std::string help = info.help;
    EXPECT_GT(help.size(), 10u) << info.name;
    EXPECT_EQ(help.back(), '.') << info.name;
    const OptionValue value = ValueOf(defaults, row);
    const std::string text = info.kind == OptionKind::kBool ? value.number ? "true" : "false"
                             : value.text != nullptr        ? value.text
                                                            : std::to_string(value.number);
    // Every option takes the value that it has by default.
    EXPECT_TRUE(Parse(std::string(info.name) + ":" + text).good) << info.name;
  }
}

// Random edits of valid texts, and random bytes: the parser returns, says one line per bad pair,
// and what it sets parses again as it is.
TEST(OptionsTest, AnyTextLeavesValuesWithinBounds) {
  std::mt19937 random(12345);
  const std::string alphabet = "abcdefghijklmnopqrstuvwxyz_:,-0123456789 \n\xff";
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const size_t pairs = random() % 4;
    for (size_t i = 0; i < pairs; ++i) {
      text += OptionAt(random() % OptionCount()).name;
      text += ':';
      const char* values[] = {"true", "false", "0", "-1", "17", "free", "auto", "J"};
      text += values[random() % 8];
      if (random() % 4 != 0) text += ',';
    }
    const size_t edits = random() % 4;
    for (size_t i = 0; i < edits; ++i) {
      text.insert(random() % (text.size() + 1), 1, alphabet[random() % alphabet.size()]);
    }
    const Outcome outcome = Parse(text);
    if (!outcome.options.confirm_conf) {
      EXPECT_EQ(outcome.good, outcome.lines.empty()) << text;
    }
    for (const std::string& line : outcome.lines) {
      EXPECT_EQ(line.find('\n'), line.size() - 1) << text;
    }
    EXPECT_GE(outcome.options.dirty_decay_ms, -1) << text;
    EXPECT_LE(outcome.options.thread_cache_bytes, size_t{1} << 42) << text;
    EXPECT_EQ(outcome.options.narenas, 1u) << text;
    EXPECT_FALSE(outcome.options.zero) << text;
    const Outcome again = Parse(text, outcome.options);
    EXPECT_EQ(again.options.dirty_decay_ms, outcome.options.dirty_decay_ms) << text;
    EXPECT_STREQ(again.options.zero_realloc, outcome.options.zero_realloc) << text;
  }
}

}  // namespace
}  // namespace spanmalloc

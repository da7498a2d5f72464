// SPDX-License-Identifier: Apache-2.0
//
// The release policy as the pure function it is, over a time that the test makes up.
#include "allocator/heap/release_policy.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

constexpr size_t kFloor = ReleasePolicy::kFloorPages;
// What was needed within the last two seconds is kept.
constexpr uint64_t kMemoryMs = 2000;

TEST(ReleasePolicyTest, KeepsTheFloorWhateverWasUsed) {
  ReleasePolicy policy;
  policy.Note(0, 5000);
  EXPECT_EQ(policy.Excess(0, 0), 0u);
  EXPECT_EQ(policy.Excess(0, kFloor), 0u);
  EXPECT_EQ(policy.Excess(0, kFloor + 1), 1u);
  EXPECT_EQ(policy.Excess(100000, kFloor + 7), 7u);
}

TEST(ReleasePolicyTest, KeepsThePeakAndAnEighthForAWhile) {
  ReleasePolicy policy;
  policy.Note(80000, 10000);
  EXPECT_EQ(policy.RecentPeak(), 80000u);
  EXPECT_EQ(policy.Excess(0, 90000), 0u);
  EXPECT_EQ(policy.Excess(0, 90001), 1u);
  // What is in use again needs no free pages held for it.
  EXPECT_EQ(policy.Excess(70000, 90000), 70000u);
}

TEST(ReleasePolicyTest, KeepsHalfOfWhatUseFellByBesides) {
  ReleasePolicy policy;
  policy.Note(1000, 9999);
  policy.Note(80000, 10000);
  policy.Note(60000, 10001);
  policy.Note(70000, 10002);
  EXPECT_EQ(policy.LastLow(), 60000u) << "before the peak doesn't count";
  EXPECT_EQ(policy.Excess(70000, 30000), 0u);
  EXPECT_EQ(policy.Excess(70000, 30001), 1u);
  policy.Note(81000, 10003);
  EXPECT_EQ(policy.LastLow(), 81000u) << "a new peak";
  // For a quarter of the time that the peak counts at least, and half of it at most.
  policy.Note(40000, 10999);
  EXPECT_EQ(policy.Excess(40000, 71625), 0u);
  EXPECT_EQ(policy.Excess(40000, 71626), 1u);
  policy.Note(40000, 11000);
  EXPECT_EQ(policy.Excess(40000, 51125), 0u) << "the peak and an eighth";
  EXPECT_EQ(policy.Excess(40000, 51126), 1u);
  policy.Note(40000, 10000 + kMemoryMs + 500);
  EXPECT_EQ(policy.Excess(40000, 5000), 0u);
  EXPECT_EQ(policy.Excess(40000, 5001), 1u);
}

TEST(ReleasePolicyTest, ALateNoteOfAnEarlierTimeForgetsNothing) {
  ReleasePolicy policy;
  policy.Note(80000, 10001);
  policy.Note(70000, 9999);
  policy.Note(60000, 10002);
  EXPECT_EQ(policy.RecentPeak(), 80000u);
  EXPECT_EQ(policy.LastLow(), 60000u);
  EXPECT_EQ(policy.Excess(60000, 30000), 0u);
}

TEST(ReleasePolicyTest, UseThatGoesUpAndDownKeepsThatHalfAllTheTime) {
  ReleasePolicy policy;
  for (uint64_t now = 10000; now < 30000; now += 100) {
    policy.Note(now % 500 == 0 ? 80000 : 60000, now);
    if (now % 500 == 0) continue;
    ASSERT_EQ(policy.Excess(60000, 40000), 0u) << now;
    ASSERT_EQ(policy.Excess(60000, 40001), 1u) << now;
  }
}

TEST(ReleasePolicyTest, ForgetsAPeakAfterItsTime) {
  ReleasePolicy policy;
  policy.Note(80000, 10000);
  uint64_t now = 10000;
  for (; now < 10000 + kMemoryMs - 500; now += 10) {
    policy.Note(1000, now);
    ASSERT_EQ(policy.RecentPeak(), 80000u) << now;
  }
  policy.Note(1000, 10000 + kMemoryMs + 500);
  EXPECT_EQ(policy.RecentPeak(), 1000u);
  EXPECT_EQ(policy.Excess(1000, 79000), 79000 - kFloor);
}

TEST(ReleasePolicyTest, DecaysUntilThePeakIsForgotten) {
  ReleasePolicy policy;
  policy.Note(80000, 10000);
  policy.Note(8000, 10001);
  EXPECT_TRUE(policy.Decays(8000, 72000));
  EXPECT_FALSE(policy.Decays(8000, 1000)) << "an eighth is kept";
  EXPECT_FALSE(policy.Decays(0, kFloor));
  policy.Note(8000, 10000 + kMemoryMs + 500);
  EXPECT_FALSE(policy.Decays(8000, 72000)) << "due now, not later";
  EXPECT_FALSE(policy.Decays(8000, 1000));
}

TEST(ReleasePolicyTest, AllThatIsntAlwaysKeptDecays) {
  ReleasePolicy policy;
  policy.Note(80000, 10000);
  EXPECT_EQ(policy.Decaying(8000, 72000), 71000u) << "an eighth is kept";
  EXPECT_EQ(policy.Decaying(8000, 1000), 0u);
  EXPECT_EQ(policy.Decaying(0, kFloor + 1), 1u);
}

TEST(ReleasePolicyTest, NothingDecaysThatIsKeptForEverOrNotAtAll) {
  for (int64_t ms : {-1, 0}) {
    ReleasePolicy policy;
    policy.SetDecay(ms);
    policy.Note(80000, 10000);
    EXPECT_FALSE(policy.Decays(0, 80000)) << ms;
    EXPECT_EQ(policy.Decaying(0, 80000), 0u) << ms;
  }
}

TEST(ReleasePolicyTest, APauseOfAnyLengthCountsAsWhatIsUsedAfterIt) {
  for (uint64_t pause : {kMemoryMs, kMemoryMs * 7 + 3, uint64_t{1} << 40}) {
    ReleasePolicy policy;
    policy.Note(80000, 10000);
    policy.Note(500, 10000 + pause + 500);
    EXPECT_EQ(policy.RecentPeak(), 500u) << pause;
  }
}

TEST(ReleasePolicyTest, SteadyChurnReleasesNothing) {
  ReleasePolicy policy;
  // Up to 20000 pages and down to none, over and over.
  for (uint64_t now = 1000; now < 60000; now += 50) {
    const size_t used = (now / 50) % 2 == 0 ? 20000 : 0;
    policy.Note(used, now);
    if (now > 1000 + kMemoryMs) ASSERT_EQ(policy.Excess(used, 20000 - used), 0u) << now;
  }
}

TEST(ReleasePolicyTest, DecayOfZeroKeepsNothingAndNegativeKeepsAll) {
  ReleasePolicy policy;
  policy.SetDecay(0);
  policy.Note(80000, 10000);
  EXPECT_EQ(policy.Excess(0, 1), 1u);
  EXPECT_EQ(policy.Excess(80000, 12345), 12345u);
  policy.SetDecay(-1);
  policy.Note(80000, 20000);
  EXPECT_EQ(policy.Excess(0, size_t{1} << 40), 0u);
}

TEST(ReleasePolicyTest, ALimitInBytesHoldsWhateverWasNeeded) {
  ReleasePolicy policy;
  policy.SetLimit(100 * kPageSize, 0);
  policy.Note(80000, 10000);
  EXPECT_EQ(policy.Excess(0, 100), 0u);
  EXPECT_EQ(policy.Excess(0, 60000), 59900u);
  policy.SetDecay(-1);
  EXPECT_EQ(policy.Excess(0, 60000), 59900u);
  policy.SetDecay(0);
  EXPECT_EQ(policy.Excess(0, 60000), 60000u);
}

TEST(ReleasePolicyTest, ALimitInPercentFollowsWhatIsInUse) {
  ReleasePolicy policy;
  policy.SetLimit(0, 25);
  policy.Note(80000, 10000);
  EXPECT_EQ(policy.Excess(40000, 40000), 30000u);
  EXPECT_EQ(policy.Excess(0, 40000), 40000 - kFloor);
  policy.SetLimit(kPageSize, 25);
  EXPECT_EQ(policy.Excess(40000, 40000), 39999u) << "the smaller of both";
}

TEST(ReleasePolicyTest, ALimitDoesNotKeepWhatTimeReturns) {
  ReleasePolicy policy;
  policy.SetLimit(size_t{1} << 40, 1000);
  policy.Note(1000, 10000);
  EXPECT_EQ(policy.Excess(1000, 8000), 8000 - kFloor);
}

TEST(ReleasePolicyTest, ALongerDecayRemembersLonger) {
  ReleasePolicy policy;
  policy.SetDecay(60000);
  policy.Note(80000, 100000);
  policy.Note(10, 100000 + 40000);
  EXPECT_EQ(policy.RecentPeak(), 80000u);
  policy.Note(10, 100000 + 80000);
  EXPECT_EQ(policy.RecentPeak(), 10u);
}

}  // namespace
}  // namespace spanmalloc

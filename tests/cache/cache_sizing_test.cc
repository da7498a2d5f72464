// SPDX-License-Identifier: Apache-2.0
//
// The sizing functions and the budget.
#include "allocator/cache/cache_sizing.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

constexpr int64_t kQuantum = CacheBudget::kQuantum;

class SizingTest : public testing::TestWithParam<size_t> {
 protected:
  const SizeClassInfo& info_ = kSizeClassTable[GetParam()];
};

TEST_P(SizingTest, RefillsStartSmallAndGrowFromTheThirdUpToABatch) {
  BinHistory history;
  const size_t first = info_.size > 4096 ? 1 : info_.size > 128 ? 2 : 4;
  for (size_t wish :
       {first, first, 2 * first, 4 * first, 8 * first, 16 * first, 32 * first, 64 * first}) {
    ASSERT_EQ(NextRefill(info_, &history), std::min<size_t>(wish, info_.batch));
  }
}

TEST_P(SizingTest, AnOverflowAfterAMissRaisesTheLimit) {
  BinHistory history;
  size_t limit = NextRefill(info_, &history);
  for (int i = 0; i < 30; ++i) {
    const size_t raised = LimitAfterOverflow(info_, limit, &history);
    ASSERT_LE(raised, info_.cache_limit);
    ASSERT_TRUE(raised > limit || limit == info_.cache_limit);
    limit = raised;
    NextRefill(info_, &history);
  }
  EXPECT_EQ(limit, info_.cache_limit);
}

TEST_P(SizingTest, OverflowsAloneRaiseTheLimitEveryThirdTime) {
  BinHistory history;
  const size_t limit = 1;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(LimitAfterOverflow(info_, limit, &history), limit);
    EXPECT_EQ(LimitAfterOverflow(info_, limit, &history), limit);
    const size_t raised = LimitAfterOverflow(info_, limit, &history);
    EXPECT_TRUE(raised > limit || limit == info_.cache_limit);
  }
}

INSTANTIATE_TEST_SUITE_P(AllClasses, SizingTest, testing::Range<size_t>(1, kSizeClassEnd));

TEST(CacheBudgetTest, GivesWholeQuantaOrNothing) {
  CacheBudget budget;
  budget.Init(3 * kQuantum);
  EXPECT_EQ(budget.Take(1), kQuantum);
  EXPECT_EQ(budget.Take(kQuantum + 1), 2 * kQuantum);
  EXPECT_EQ(budget.left(), 0);
  EXPECT_EQ(budget.Take(1), 0);
  budget.Return(2 * kQuantum);
  EXPECT_EQ(budget.Take(2 * kQuantum + 1), 0) << "more than is left";
  EXPECT_EQ(budget.left(), 2 * kQuantum);
}

TEST(CacheBudgetTest, ABudgetThatIsNotSetGivesNothing) {
  CacheBudget budget;
  EXPECT_EQ(budget.Take(1), 0);
}

TEST(CacheBudgetTest, ThreadsNeverTakeMoreThanThereIs) {
  CacheBudget budget;
  constexpr int64_t kWhole = 20 * kQuantum;
  budget.Init(kWhole);
  std::atomic<int64_t> taken{0};
  std::atomic<bool> exceeded{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20000; ++i) {
        const int64_t amount = budget.Take(1 + i % 5 * kQuantum);
        if (taken.fetch_add(amount) + amount > kWhole) exceeded = true;
        taken.fetch_sub(amount);
        budget.Return(amount);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(budget.left(), kWhole);
}

TEST(BudgetShareTest, TakesWhatItNeedsAndReturnsWhatItTook) {
  CacheBudget budget;
  budget.Init(3 * kQuantum);
  BudgetShare share;
  ASSERT_TRUE(share.Provide(budget, 100));
  share.Pay(100);
  EXPECT_EQ(share.paid(), 100);
  EXPECT_EQ(share.taken(), kQuantum);
  ASSERT_TRUE(share.Provide(budget, kQuantum - 100)) << "what is spare is used first";
  EXPECT_EQ(share.taken(), kQuantum);
  share.Refund(60);
  EXPECT_EQ(share.paid(), 40);
  share.ReturnAll(budget);
  EXPECT_EQ(share.paid(), 0);
  EXPECT_EQ(share.taken(), 0);
  EXPECT_EQ(budget.left(), 3 * kQuantum);
}

TEST(BudgetShareTest, AShareMayBeOverdrawn) {
  CacheBudget budget;
  budget.Init(kQuantum);
  BudgetShare share;
  EXPECT_FALSE(share.Provide(budget, kQuantum + 1));
  share.Pay(kQuantum + 1);
  EXPECT_EQ(share.paid(), kQuantum + 1);
  EXPECT_EQ(share.taken(), 0);
  share.Refund(kQuantum + 1);
  EXPECT_EQ(share.paid(), 0);
  EXPECT_EQ(budget.left(), kQuantum);
}

TEST(BudgetShareTest, ReturnsASurplusButForAQuantum) {
  CacheBudget budget;
  budget.Init(8 * kQuantum);
  BudgetShare share;
  ASSERT_TRUE(share.Provide(budget, 4 * kQuantum));
  share.Pay(3 * kQuantum);
  share.ReturnSurplus(budget);
  EXPECT_EQ(share.taken(), 4 * kQuantum) << "a quantum is kept";
  share.Refund(2 * kQuantum);
  share.ReturnSurplus(budget);
  EXPECT_EQ(share.taken(), 2 * kQuantum);
  EXPECT_EQ(share.paid(), kQuantum);
}

}  // namespace
}  // namespace spanmalloc

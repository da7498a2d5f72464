// SPDX-License-Identifier: Apache-2.0

#include "benchmarks/workloads/histogram.h"

#include <gtest/gtest.h>

#include <memory>

namespace spanmalloc::workloads {
namespace {

TEST(Histogram, SmallValuesAreExact) {
  auto histogram = std::make_unique<Histogram>();
  for (uint64_t value = 1; value <= 100; ++value) histogram->Record(value);
  EXPECT_EQ(histogram->Quantile(0.5), 50u);
  EXPECT_EQ(histogram->Quantile(0.9), 90u);
  EXPECT_EQ(histogram->Quantile(0), 1u);
  EXPECT_EQ(histogram->Quantile(1), 100u);
}

TEST(Histogram, EveryMagnitudeIsKeptToOnePartIn64) {
  for (int bit = 0; bit < 64; ++bit) {
    for (const uint64_t value : {uint64_t{1} << bit, (uint64_t{1} << bit) * 3 / 2}) {
      auto histogram = std::make_unique<Histogram>();
      histogram->Record(value);
      histogram->Record(UINT64_MAX);
      EXPECT_GE(histogram->Quantile(0.5), value);
      EXPECT_LE(histogram->Quantile(0.5) - value, value / 64);
    }
  }
}

TEST(Histogram, RareLargeValuesShowOnlyInTheLastQuantiles) {
  auto histogram = std::make_unique<Histogram>();
  for (int i = 0; i < 9990; ++i) histogram->Record(10);
  for (int i = 0; i < 10; ++i) histogram->Record(1'000'003);
  EXPECT_EQ(histogram->Quantile(0.999), 10u);
  EXPECT_EQ(histogram->Quantile(0.9991), 1'000'003u);  // The bucket ends at the largest value.
  EXPECT_EQ(histogram->Max(), 1'000'003u);
}

TEST(Histogram, AddCountsBoth) {
  auto one = std::make_unique<Histogram>();
  auto other = std::make_unique<Histogram>();
  one->Record(1);
  other->Record(2);
  other->Record(7);
  one->Add(*other);
  EXPECT_EQ(one->Quantile(0.5), 2u);
  EXPECT_EQ(one->Max(), 7u);
}

TEST(Histogram, EmptyHasNoTimes) {
  auto histogram = std::make_unique<Histogram>();
  EXPECT_EQ(histogram->Quantile(0.99), 0u);
  EXPECT_EQ(histogram->Max(), 0u);
}

}  // namespace
}  // namespace spanmalloc::workloads

// SPDX-License-Identifier: Apache-2.0
//
// util/bitmap.h against a vector<bool> that answers by looking at every bit.
#include "allocator/util/bitmap.h"

#include <cstddef>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

constexpr size_t kBits = 256;

class Model {
 public:
  void Fill(size_t begin, size_t count, bool value) {
    for (size_t i = begin; i < begin + count; ++i) bits_[i] = value;
  }
  size_t Count(size_t begin, size_t count) const {
    size_t total = 0;
    for (size_t i = begin; i < begin + count; ++i) total += bits_[i];
    return total;
  }
  size_t Find(size_t from, bool value) const {
    for (size_t i = from; i < kBits; ++i) {
      if (bits_[i] == value) return i;
    }
    return kBits;
  }
  size_t FindClearRun(size_t count, size_t alignment) const {
    for (size_t begin = 0; begin + count <= kBits; begin += alignment) {
      if (Count(begin, count) == 0) return begin;
    }
    return kBits;
  }
  size_t ClearRunAround(size_t i) const {
    size_t begin = i;
    while (begin > 0 && !bits_[begin - 1]) --begin;
    return Find(i, true) - begin;
  }
  size_t LongestClearRun() const {
    size_t longest = 0;
    size_t run = 0;
    for (bool bit : bits_) {
      run = bit ? 0 : run + 1;
      longest = std::max(longest, run);
    }
    return longest;
  }
  bool Get(size_t i) const { return bits_[i]; }

 private:
  std::vector<bool> bits_ = std::vector<bool>(kBits, false);
};

void ExpectSame(const Bitmap<kBits>& bitmap, const Model& model) {
  const size_t clear = kBits - bitmap.Count();
  const size_t longest = model.LongestClearRun();
  for (size_t i = 0; i < kBits; ++i) {
    ASSERT_EQ(bitmap.Get(i), model.Get(i)) << i;
    ASSERT_EQ(bitmap.FindSet(i), model.Find(i, true)) << i;
    ASSERT_EQ(bitmap.FindClear(i), model.Find(i, false)) << i;
    if (bitmap.Get(i)) continue;
    const auto run = bitmap.ClearRunAround(i);
    ASSERT_EQ(run.length(), model.ClearRunAround(i)) << i;
    ASSERT_EQ(bitmap.LongestClearRun(clear, run.length()), longest);
  }
  ASSERT_EQ(bitmap.Count(), model.Count(0, kBits));
  ASSERT_EQ(bitmap.LongestClearRun(clear), longest);
}

TEST(BitmapTest, StartsClear) { ExpectSame({}, {}); }

TEST(BitmapTest, FindsNothingPastTheEnd) {
  Bitmap<kBits> bitmap;
  EXPECT_EQ(bitmap.FindClear(kBits), kBits);
  EXPECT_EQ(bitmap.FindSet(kBits + 1), kBits);
  bitmap.SetRange(0, kBits);
  EXPECT_EQ(bitmap.FindClear(0), kBits);
  EXPECT_EQ(bitmap.FindClearRun(1), kBits);
  EXPECT_EQ(Bitmap<kBits>().FindLastSet(), kBits);
  EXPECT_EQ(bitmap.LongestClearRun(0), 0u);
}

TEST(BitmapTest, EmptyRangesChangeNothing) {
  Bitmap<kBits> bitmap;
  bitmap.SetRange(64, 0);
  bitmap.SetRange(kBits, 0);
  EXPECT_EQ(bitmap.Count(), 0u);
  EXPECT_EQ(bitmap.CountRange(13, 0), 0u);
}

// Every range there is, so every combination of word borders.
TEST(BitmapTest, EveryRangeIsSetCountedAndCleared) {
  for (size_t begin = 0; begin < kBits; ++begin) {
    for (size_t count = 1; begin + count <= kBits; ++count) {
      Bitmap<kBits> bitmap;
      bitmap.SetRange(begin, count);
      ASSERT_EQ(bitmap.Count(), count);
      ASSERT_EQ(bitmap.FindSet(0), begin);
      ASSERT_EQ(bitmap.FindLastSet(), begin + count - 1);
      ASSERT_EQ(bitmap.FindClear(begin), begin + count);
      bitmap.SetRange(0, kBits);
      bitmap.ClearRange(begin, count);
      ASSERT_EQ(bitmap.Count(), kBits - count);
      ASSERT_EQ(bitmap.FindClear(0), begin);
      ASSERT_EQ(bitmap.FindClearRun(count), begin);
      ASSERT_EQ(bitmap.LongestClearRun(count), count);
    }
  }
}

class RandomBitmapTest : public testing::TestWithParam<unsigned> {};

TEST_P(RandomBitmapTest, AgreesWithTheModel) {
  std::mt19937 random(GetParam());
  Bitmap<kBits> bitmap;
  Model model;
  // Each seed has its own density, from nearly empty to nearly full.
  std::bernoulli_distribution set(0.1 * GetParam());
  for (int step = 0; step < 400; ++step) {
    const size_t begin = random() % kBits;
    const size_t count = random() % std::min<size_t>(kBits - begin + 1, 1 + random() % 80);
    const bool value = set(random);
    if (count == 1) {
      value ? bitmap.Set(begin) : bitmap.Clear(begin);
    } else {
      value ? bitmap.SetRange(begin, count) : bitmap.ClearRange(begin, count);
    }
    model.Fill(begin, count, value);
    ASSERT_NO_FATAL_FAILURE(ExpectSame(bitmap, model)) << "step " << step;
    ASSERT_EQ(bitmap.CountRange(begin, count), model.Count(begin, count));
    ASSERT_EQ(bitmap.AllSet(begin, count), model.Count(begin, count) == count);
    const size_t run = 1 + random() % 70;
    const size_t alignment = size_t{1} << random() % 8;
    ASSERT_EQ(bitmap.FindClearRun(run, alignment), model.FindClearRun(run, alignment))
        << run << " at multiples of " << alignment;
  }
}

INSTANTIATE_TEST_SUITE_P(Densities, RandomBitmapTest, testing::Range(0u, 11u));

}  // namespace
}  // namespace spanmalloc

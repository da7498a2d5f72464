// SPDX-License-Identifier: Apache-2.0
//
// Short and long turns of a thread.
#include "allocator/cache/turns.h"

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

// A turn of so many slow paths.
void Take(Turns* turns, unsigned slow_paths) {
  for (unsigned i = 0; i < slow_paths; ++i) turns->NoteSlowPath(/*again=*/i != 0);
}

TEST(TurnsTest, ShortOnesCountInARow) {
  Turns turns;
  Take(&turns, Turns::kShort);
  for (unsigned i = 0; i < Turns::kInARow; ++i) {
    EXPECT_FALSE(turns.AreShort()) << i;
    Take(&turns, Turns::kShort - 1);
  }
  EXPECT_FALSE(turns.AreShort()) << "the last one isn't over";
  Take(&turns, 1);
  EXPECT_TRUE(turns.AreShort());
  for (int i = 0; i < 100; ++i) Take(&turns, 1);
  EXPECT_TRUE(turns.AreShort());
}

TEST(TurnsTest, OneThatIsNotShortEndsTheRow) {
  Turns turns;
  for (unsigned i = 0; i <= Turns::kInARow; ++i) Take(&turns, 1);
  ASSERT_TRUE(turns.AreShort());
  Take(&turns, Turns::kShort - 1);
  EXPECT_TRUE(turns.AreShort());
  turns.NoteSlowPath(/*again=*/true);
  EXPECT_FALSE(turns.AreShort());
  Take(&turns, 1);
  EXPECT_FALSE(turns.AreShort());
}

TEST(TurnsTest, ALongOneIsToldWhileItLasts) {
  Turns turns;
  Take(&turns, Turns::kLong - 1);
  EXPECT_FALSE(turns.IsLong());
  turns.NoteSlowPath(/*again=*/true);
  EXPECT_TRUE(turns.IsLong());
  for (int i = 0; i < 1000; ++i) turns.NoteSlowPath(/*again=*/true);
  EXPECT_TRUE(turns.IsLong());
  Take(&turns, 1);
  EXPECT_FALSE(turns.IsLong());
}

}  // namespace
}  // namespace spanmalloc

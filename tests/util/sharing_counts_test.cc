// SPDX-License-Identifier: Apache-2.0
#include "allocator/util/sharing_counts.h"

#include <thread>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

uint64_t Events(CountedEvent event) { return OwnCounts().events[static_cast<size_t>(event)]; }

LockCounts& Locks(LockRank rank) { return OwnCounts().locks[static_cast<size_t>(rank)]; }

void TakeOnce(LockCounter& lock) {
  lock.NoteAcquired();
  lock.NoteReleased();
}

TEST(SharingCountsTest, AnEventCountsForItsThreadAlone) {
  const uint64_t before = Events(CountedEvent::kBudgetWrite);
  CountEvent(CountedEvent::kBudgetWrite);
  std::thread([&] {
    CountEvent(CountedEvent::kBudgetWrite);
    EndCountedThread();
  }).join();
  EXPECT_EQ(Events(CountedEvent::kBudgetWrite), before + 1);
}

TEST(SharingCountsTest, ALockThatAnotherThreadHadBeforeHasMoved) {
  LockCounter lock(LockRank::kPageHeap);
  const LockCounts before = Locks(LockRank::kPageHeap);
  TakeOnce(lock);
  TakeOnce(lock);
  EXPECT_EQ(Locks(LockRank::kPageHeap).taken, before.taken + 2);
  EXPECT_EQ(Locks(LockRank::kPageHeap).moved, before.moved);
  uint64_t moved_to_other = 0;
  std::thread([&] {
    TakeOnce(lock);
    moved_to_other = Locks(LockRank::kPageHeap).moved;
    EndCountedThread();
  }).join();
  EXPECT_EQ(moved_to_other, 1u);
  TakeOnce(lock);
  EXPECT_EQ(Locks(LockRank::kPageHeap).moved, before.moved + 1);
}

TEST(SharingCountsTest, TheNumberOfAnEndedThreadIsTheNextOnes) {
  const auto number_of_thread = [] {
    uint32_t number;
    std::thread([&number] {
      number = CountedThread();
      EndCountedThread();
    }).join();
    return number;
  };
  CountedThread();
  const uint32_t first = number_of_thread();
  EXPECT_NE(first, CountedThread());
  EXPECT_EQ(number_of_thread(), first);
}

}  // namespace
}  // namespace spanmalloc

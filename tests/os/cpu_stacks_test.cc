// SPDX-License-Identifier: Apache-2.0
//
// Stacks that belong to a CPU: what a hit does to them, and who may take them away.
#include "allocator/os/cpu_stacks.h"

#include <sched.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace spanmalloc::os {
namespace {

constexpr size_t kClass = 7;

// Laid out as ThreadCache.
struct Stacks {
  Stacks() {
    for (size_t c = 0; c < kSizeClassEnd; ++c) {
      top[c] = slots[c] + 1;
      limit[c] = slots[c] + 3;
    }
  }
  void** top[kSizeClassEnd];
  void** limit[kSizeClassEnd];
  void* slots[kSizeClassEnd][3] = {};  // the sentinel, and room for two
};
static_assert(offsetof(Stacks, limit) == CpuStacks::kLimits);

class CpuStacksTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CpuStacks::Available()) GTEST_SKIP() << "no restartable sequences";
    ASSERT_EQ(sched_getaffinity(0, sizeof(before_), &before_), 0);
    StayOn(sched_getcpu());
  }
  void TearDown() override { sched_setaffinity(0, sizeof(before_), &before_); }
  void StayOn(int cpu) {
    cpu_ = static_cast<size_t>(cpu);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  }
  // A sequence may be broken off at any time.
  void* Pop(size_t c) {
    void* object = nullptr;
    for (int i = 0; i < 100 && object == nullptr; ++i) object = on_->Pop(c);
    return object;
  }
  bool Push(size_t c, void* object) {
    bool pushed = false;
    for (int i = 0; i < 100 && !pushed; ++i) pushed = on_->Push(c, object);
    return pushed;
  }
  size_t Take() {
    size_t cpu = CpuStacks::kCpus;
    for (int i = 0; i < 100 && cpu == CpuStacks::kCpus; ++i) cpu = on_->Take();
    return cpu;
  }

  cpu_set_t before_;
  size_t cpu_ = 0;
  std::unique_ptr<CpuStacks> on_ = std::make_unique<CpuStacks>();
  Stacks stacks_;
  int objects_[3] = {};
};

TEST_F(CpuStacksTest, WithoutStacksNothingHits) {
  EXPECT_EQ(Pop(kClass), nullptr);
  EXPECT_FALSE(Push(kClass, &objects_[0]));
  EXPECT_EQ(Take(), CpuStacks::kCpus);
  EXPECT_FALSE(on_->Withdraw(cpu_));
}

TEST_F(CpuStacksTest, TheLastPushedIsPoppedFirstAndTheLimitHolds) {
  on_->PutBack(cpu_, &stacks_);
  EXPECT_EQ(Pop(kClass), nullptr);
  EXPECT_TRUE(Push(kClass, &objects_[0]));
  EXPECT_TRUE(Push(kClass, &objects_[1]));
  EXPECT_FALSE(Push(kClass, &objects_[2]));
  EXPECT_EQ(Pop(kClass + 1), nullptr);
  EXPECT_EQ(Pop(kClass), &objects_[1]);
  EXPECT_EQ(Pop(kClass), &objects_[0]);
  EXPECT_EQ(Pop(kClass), nullptr);
  EXPECT_EQ(stacks_.top[kClass], stacks_.slots[kClass] + 1);
}

TEST_F(CpuStacksTest, StacksThatAreTakenHitNobodyUntilTheyArePutBack) {
  on_->PutBack(cpu_, &stacks_);
  ASSERT_TRUE(Push(kClass, &objects_[0]));
  EXPECT_EQ(Take(), cpu_);
  EXPECT_EQ(Pop(kClass), nullptr);
  EXPECT_FALSE(Push(kClass, &objects_[1]));
  EXPECT_EQ(Take(), CpuStacks::kCpus);
  EXPECT_FALSE(on_->Withdraw(cpu_));
  on_->PutBack(cpu_, &stacks_);
  EXPECT_EQ(Pop(kClass), &objects_[0]);
}

TEST_F(CpuStacksTest, StacksAreAnotherCpusWhereTheThreadMoves) {
  int other = -1;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &before_) && static_cast<size_t>(cpu) != cpu_) other = cpu;
  }
  if (other < 0) GTEST_SKIP() << "a single CPU";
  on_->PutBack(cpu_, &stacks_);
  ASSERT_TRUE(Push(kClass, &objects_[0]));
  const size_t first = cpu_;
  StayOn(other);
  EXPECT_EQ(Pop(kClass), nullptr);
  Stacks others;
  on_->PutBack(cpu_, &others);
  EXPECT_EQ(Pop(kClass), nullptr);
  EXPECT_EQ(Take(), cpu_);
  StayOn(static_cast<int>(first));
  EXPECT_EQ(Pop(kClass), &objects_[0]);
}

TEST_F(CpuStacksTest, StacksAreWithdrawnUnlessTheirCpuTookThem) {
  on_->PutBack(cpu_, &stacks_);
  ASSERT_TRUE(Push(kClass, &objects_[0]));
  EXPECT_TRUE(on_->Withdraw(cpu_));
  EXPECT_FALSE(on_->Withdraw(cpu_));
  if (!CpuStacks::BarrierOnCpus()) GTEST_SKIP() << "the kernel has no barrier";
  EXPECT_TRUE(on_->Withdrawn(cpu_));
  EXPECT_EQ(Pop(kClass), nullptr);
  EXPECT_EQ(Take(), CpuStacks::kCpus);
  on_->PutBack(cpu_, &stacks_);
  EXPECT_FALSE(on_->Withdrawn(cpu_));
  EXPECT_EQ(Pop(kClass), &objects_[0]);
}

// A thread takes its CPU's stacks and puts them back without end, another withdraws them from
// elsewhere: never have both of them.
TEST_F(CpuStacksTest, OfTwoWhoTakeThemAwayOneHasThem) {
  if (!CpuStacks::BarrierOnCpus()) GTEST_SKIP() << "the kernel has no barrier";
  on_->PutBack(cpu_, &stacks_);
  std::atomic<bool> done{false};
  std::atomic<int> holders{0};
  std::atomic<uint64_t> faults{0};
  const auto hold = [&] {
    if (holders.fetch_add(1, std::memory_order_relaxed) != 0) ++faults;
    holders.fetch_sub(1, std::memory_order_relaxed);
    on_->PutBack(cpu_, &stacks_);
  };
  std::thread taker([&] {
    while (!done.load(std::memory_order_relaxed)) {
      if (on_->Take() != CpuStacks::kCpus) hold();
    }
  });
  cpu_set_t others = before_;
  CPU_CLR(cpu_, &others);
  if (CPU_COUNT(&others) != 0) sched_setaffinity(0, sizeof(others), &others);
  uint64_t withdrawn = 0;
  uint64_t lost = 0;
  while (withdrawn + lost < 50'000) {
    if (!on_->Withdraw(cpu_)) {
      if (CPU_COUNT(&others) == 0) sched_yield();
      continue;
    }
    EXPECT_TRUE(CpuStacks::BarrierOnCpus());
    if (on_->Withdrawn(cpu_)) {
      ++withdrawn;
      hold();
    } else {
      ++lost;
    }
  }
  done = true;
  taker.join();
  EXPECT_EQ(faults, 0u);
  RecordProperty("withdrawn", std::to_string(withdrawn));
  RecordProperty("lost", std::to_string(lost));
}

TEST_F(CpuStacksTest, NothingIsWithdrawnWithoutABarrier) {
  on_->PutBack(cpu_, &stacks_);
  EXPECT_TRUE(on_->Withdraw(cpu_));
  on_->TakeNone(cpu_, &stacks_);
  EXPECT_TRUE(Push(kClass, &objects_[0]));
  EXPECT_EQ(Take(), cpu_);
  on_->TakeNone(cpu_, &stacks_);  // too late: it was taken
  EXPECT_EQ(Pop(kClass), nullptr);
}

}  // namespace
}  // namespace spanmalloc::os

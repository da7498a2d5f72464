// SPDX-License-Identifier: Apache-2.0
//
// The central floor of machines with several NUMA nodes: a node's threads get objects of that node,
// and those that others free come back to it.
#include <algorithm>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"

namespace spanmalloc {
namespace {

constexpr SizeClass kClass = 8;
constexpr uint32_t kNodes = 3;

class NodesTest : public testing::Test {
 protected:
  NodesTest() { RunOn(0); }
  ~NodesTest() {
    EXPECT_TRUE(central_.CheckInvariants());
    EXPECT_TRUE(on_.node_heaps.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  // The fakes' CPUs have the numbers of their nodes.
  static void RunOn(uint32_t node) { FakeNodeFacts::cpu = node; }
  uint32_t NodeOf(const void* object) {
    return on_.node_heaps.NodeOf(reinterpret_cast<uintptr_t>(object));
  }

  std::vector<void*> Take(size_t count) {
    std::vector<void*> all;
    void* out[PerCpuCentral::kMaxBatch];
    while (all.size() < count) {
      const size_t left = count - all.size();
      const size_t got = central_.Remove(
          kClass, out, left < PerCpuCentral::kMaxBatch ? left : PerCpuCentral::kMaxBatch);
      if (got == 0) break;
      all.insert(all.end(), out, out + got);
    }
    return all;
  }
  void Insert(std::vector<void*> objects) {
    central_.Insert(kClass, objects.data(), objects.size());
  }
  void ExpectAllOn(uint32_t node, const std::vector<void*>& objects) {
    for (const void* object : objects) ASSERT_EQ(NodeOf(object), node);
  }
  // What a node's threads could have without a new span.
  size_t HeldOn(uint32_t node) {
    size_t held = 0;
    central_.ForEachList([&](CentralFreeList& list) {
      if (CentralFreeList::NodeOfShard(on_.node_heaps, list.shard()) == node) {
        held += list.held_hint();
      }
    });
    return held;
  }

  CentralOnFakes on_{size_t{4} << 30, "0-2"};
  PerCpuCentral& central_ = on_.central;
};

TEST_F(NodesTest, ThreadsGetObjectsOfTheirNode) {
  for (int round = 0; round < 3; ++round) {
    for (uint32_t node = 0; node < kNodes; ++node) {
      RunOn(node);
      const std::vector<void*> objects = Take(3000);
      ASSERT_EQ(objects.size(), 3000u);
      ExpectAllOn(node, objects);
      Insert(objects);
    }
  }
  EXPECT_EQ(on_.node_heaps.heaps(), kNodes);
}

TEST_F(NodesTest, WhatIsFreedElsewhereComesBackToItsNode) {
  RunOn(0);
  const std::vector<void*> objects = Take(500);
  RunOn(1);
  Insert(objects);
  EXPECT_EQ(HeldOn(1), 0u);
  EXPECT_GE(HeldOn(0), 500u);
  const size_t spans = central_.Stats(kClass).spans;
  const std::vector<void*> own = Take(200);
  ExpectAllOn(1, own);
  RunOn(0);
  const size_t spans_now = central_.Stats(kClass).spans;
  EXPECT_GT(spans_now, spans);
  const std::vector<void*> again = Take(400);
  ExpectAllOn(0, again);
  EXPECT_EQ(central_.Stats(kClass).spans, spans_now) << "there were free ones on the node";
  Insert(own);
  Insert(again);
}

TEST_F(NodesTest, AMixedBatchIsSorted) {
  std::vector<void*> mixed;
  for (int i = 0; i < 300; ++i) {
    RunOn(static_cast<uint32_t>(i) % kNodes);
    mixed.push_back(Take(1)[0]);
  }
  RunOn(2);
  Insert(mixed);
  const CentralFreeListStats stats = central_.Stats(kClass);
  EXPECT_EQ(stats.taken, stats.returned);
  for (uint32_t node = 0; node < kNodes; ++node) {
    RunOn(node);
    const std::vector<void*> objects = Take(100);
    ExpectAllOn(node, objects);
    EXPECT_EQ(central_.Stats(kClass).spans_made, stats.spans_made);
    Insert(objects);
  }
}

TEST_F(NodesTest, ABadPointerInABatchIsReportedAsEver) {
  alignas(16) static char foreign[16];
  std::vector<void*> batch = Take(10);
  batch.push_back(foreign);
  central_.InsertInSpans(kClass, batch.data(), batch.size());
  std::vector<BadPointer> faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].fault, Fault::kNotABlock);
  batch = Take(10);
  batch.push_back(foreign);
  Insert(batch);
  central_.Drain();
  faults = FaultLog::Take();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].pointer, foreign);
}

// Better far memory than none.
TEST_F(NodesTest, WithoutMemoryOtherNodesGiveWhatTheyCanSpare) {
  RunOn(1);
  Insert(Take(2000));
  RunOn(2);
  Insert(Take(2000));
  for (const auto call : {FakeVirtualMemory::kMap, FakeVirtualMemory::kMapAt}) {
    on_.memory.RefuseAll(call);
  }
  RunOn(0);
  std::vector<void*> all;
  std::set<uint32_t> nodes;
  while (true) {
    const std::vector<void*> some = Take(64);
    if (some.empty()) break;
    for (void* object : some) nodes.insert(NodeOf(object));
    all.insert(all.end(), some.begin(), some.end());
  }
  EXPECT_EQ(nodes.size(), kNodes);
  EXPECT_EQ(std::set<void*>(all.begin(), all.end()).size(), all.size());
  on_.memory.RefuseNothing();
  Insert(all);
}

TEST_F(NodesTest, TheLimitHoldsForEachNode) {
  central_.LimitShards(1);
  for (uint32_t node = 0; node < kNodes; ++node) {
    RunOn(node);
    Insert(Take(100));
  }
  EXPECT_EQ(central_.CountShards(), kNodes);
}

TEST_F(NodesTest, SweepsReachTheListsOfAllNodes) {
  for (uint32_t node = 0; node < kNodes; ++node) {
    RunOn(node);
    Insert(Take(3000));
  }
  RunOn(0);
  central_.Drain();
  EXPECT_EQ(on_.node_heaps.Stats().span_pages, 0u);
}

TEST_F(NodesTest, AnArenasHugePagesAreOfTheNodeThatWantedThem) {
  for (uint32_t node = kNodes; node-- > 0;) {
    RunOn(node);
    unsigned arena = 0;
    ASSERT_TRUE(on_.arenas.Create({.dirty_decay_ms = 1000, .muzzy_decay_ms = 0}, &arena));
    Insert(Take(1));  // the node has a heap, which lends
    bool zeroed;
    EXPECT_EQ(NodeOf(on_.arenas.Allocate(arena, kNoSizeClass, 5'000'000, 16, &zeroed)), node);
    EXPECT_EQ(NodeOf(on_.arenas.Allocate(arena, SizeClass{5}, 0, 16, &zeroed)), node);
    RunOn(0);
    EXPECT_EQ(NodeOf(on_.arenas.Allocate(arena, SizeClass{6}, 0, 16, &zeroed)), node);
    EXPECT_EQ(NodeOf(on_.arenas.Allocate(arena, kNoSizeClass, 5'000'000, 16, &zeroed)), 0u);
  }
  for (unsigned arena = 1; arena < on_.arenas.end(); ++arena) {
    EXPECT_TRUE(on_.arenas.Destroy(arena));
  }
  EXPECT_TRUE(on_.arenas.CheckInvariants());
  central_.Drain();
  EXPECT_EQ(on_.node_heaps.Stats().span_pages, 0u);
}

TEST_F(NodesTest, ThreadsOfAllNodesPassObjects) {
  constexpr size_t kThreads = 6;
  std::vector<std::vector<void*>> passed(kThreads);
  for (int round = 0; round < 10; ++round) {
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        RunOn(static_cast<uint32_t>(t) % kNodes);
        Insert(std::move(passed[t]));
        passed[t].clear();
        for (int i = 0; i < 20; ++i) {
          std::vector<void*> objects = Take(100);
          ExpectAllOn(static_cast<uint32_t>(t) % kNodes, objects);
          const size_t kept = objects.size() / 2;
          passed[t].insert(passed[t].end(), objects.begin() + static_cast<ptrdiff_t>(kept),
                           objects.end());
          objects.resize(kept);
          Insert(objects);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::rotate(passed.begin(), passed.begin() + 1, passed.end());
  }
  for (std::vector<void*>& objects : passed) Insert(objects);
  central_.Drain();
  EXPECT_EQ(on_.node_heaps.Stats().span_pages, 0u);
}

}  // namespace
}  // namespace spanmalloc

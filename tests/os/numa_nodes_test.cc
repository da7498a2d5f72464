// SPDX-License-Identifier: Apache-2.0
//
// The nodes, out of texts and CPUs of machines that aren't here; and the kernel's own.
#include "allocator/os/numa_nodes.h"

#include <sched.h>

#include <memory>
#include <thread>

#include "allocator/os/current_cpu.h"
#include "gtest/gtest.h"
#include "tests/support/fake_node_facts.h"
#include "tests/support/fake_text_files.h"

namespace spanmalloc::os {
namespace {

class NumaNodesTest : public testing::Test {
 protected:
  NumaNodesTest() { FakeNodeFacts::cpu = 0; }

  uint32_t CountOf(const char* list) {
    files_.files["/sys/devices/system/node/has_cpu"] = list;
    nodes_ = std::make_unique<NumaNodes>(facts_);
    return nodes_->Count(files_, memory_nodes_);
  }
  uint32_t NodeOn(uint32_t cpu) {
    FakeNodeFacts::cpu = cpu;
    return nodes_->Current();
  }

  FakeTextFiles files_;
  FakeNodeFacts facts_;
  size_t memory_nodes_ = 0;
  std::unique_ptr<NumaNodes> nodes_ = std::make_unique<NumaNodes>(facts_);
};

TEST_F(NumaNodesTest, WithoutAFileThereIsOne) {
  EXPECT_EQ(nodes_->Count(files_, 0), 1u);
  EXPECT_EQ(NodeOn(5), 0u);
}

TEST_F(NumaNodesTest, ListsAreNumbersAndRanges) {
  EXPECT_EQ(CountOf("0\n"), 1u);
  EXPECT_EQ(CountOf("0-1\n"), 2u);
  EXPECT_EQ(CountOf("0-3"), 4u);
  EXPECT_EQ(CountOf("0,2,8\n"), 3u);
  EXPECT_EQ(CountOf("0-1,4-6,9\n"), 6u);
  EXPECT_EQ(CountOf("0-7\n"), 8u);
}

TEST_F(NumaNodesTest, AListThatMakesNoSenseIsReadAsFarAsItDoes) {
  EXPECT_EQ(CountOf(""), 1u);
  EXPECT_EQ(CountOf("\n"), 1u);
  EXPECT_EQ(CountOf("all\n"), 1u);
  EXPECT_EQ(CountOf("3-1\n"), 1u);
  EXPECT_EQ(CountOf("-1\n"), 1u);
  EXPECT_EQ(CountOf("0,1,\n"), 2u);
  EXPECT_EQ(CountOf("0-\n"), 1u);
  EXPECT_EQ(CountOf("0,99999999999999999999999\n"), 1u);
  EXPECT_EQ(CountOf("0,18446744073709551616,1\n"), 2u);
}

TEST_F(NumaNodesTest, WhereMemoryComesFromOneNodeNoFileIsRead) {
  memory_nodes_ = 1;
  EXPECT_EQ(CountOf("0-3\n"), 1u);
  EXPECT_EQ(files_.reads, 0);
  memory_nodes_ = 2;
  EXPECT_EQ(CountOf("0-3\n"), 4u);
  EXPECT_EQ(files_.reads, 1);
}

TEST_F(NumaNodesTest, NumbersAreDenseWhateverTheKernelsAre) {
  CountOf("0,2,8\n");
  facts_.node_of_cpu = {{0, 8}, {1, 0}, {2, 2}, {100, 8}};
  EXPECT_EQ(NodeOn(0), 2u);
  EXPECT_EQ(NodeOn(1), 0u);
  EXPECT_EQ(NodeOn(2), 1u);
  EXPECT_EQ(NodeOn(100), 2u);
}

// Memory that came with a device, or on the processor, is a node of its own.
TEST_F(NumaNodesTest, NodesWithoutCpusAreNotCounted) {
  memory_nodes_ = 4;
  EXPECT_EQ(CountOf("1,3\n"), 2u);
  facts_.node_of_cpu = {{0, 1}, {1, 3}};
  EXPECT_EQ(NodeOn(0), 0u);
  EXPECT_EQ(NodeOn(1), 1u);
}

TEST_F(NumaNodesTest, TheKernelIsAskedOnceForEachCpu) {
  CountOf("0-1\n");
  facts_.node_of_cpu = {{0, 0}, {1, 1}, {1023, 1}};
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(NodeOn(0), 0u);
    EXPECT_EQ(NodeOn(1), 1u);
    EXPECT_EQ(NodeOn(1023), 1u);
  }
  EXPECT_EQ(facts_.asked, 3);
}

// As those are that are plugged in while the process runs.
TEST_F(NumaNodesTest, CpusBeyondTheTableAreAskedForEachTime) {
  CountOf("0-1\n");
  facts_.node_of_cpu = {{1024, 1}, {5000, 0}, {~0u, 1}};
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(NodeOn(1024), 1u);
    EXPECT_EQ(NodeOn(5000), 0u);
    EXPECT_EQ(NodeOn(~0u), 1u) << "a thread whose CPU isn't known";
  }
  EXPECT_EQ(facts_.asked, 9);
}

TEST_F(NumaNodesTest, NodesThatCameLaterShareANumber) {
  CountOf("0-1\n");
  facts_.node_of_cpu = {{0, 2}, {1, 1023}, {2, 1024}, {3, ~0u}};
  for (uint32_t cpu = 0; cpu < 4; ++cpu) EXPECT_LT(NodeOn(cpu), 2u);
}

TEST_F(NumaNodesTest, NodesBeyondTheMostShareNumbers) {
  EXPECT_EQ(CountOf("0-19\n"), 8u);
  for (uint32_t node = 0; node < 20; ++node) EXPECT_EQ(NodeOn(node), node % 8);
}

TEST_F(NumaNodesTest, WhereTheKernelDoesntSayItIsTheFirst) {
  CountOf("0-1\n");
  facts_.silent = true;
  EXPECT_EQ(NodeOn(1), 0u);
  facts_.silent = false;
  EXPECT_EQ(NodeOn(1), 1u) << "it wasn't noted";
}

TEST_F(NumaNodesTest, TheKernelsOwnFacts) {
  KernelNodeFacts facts;
  KernelFiles files;
  NumaNodes nodes(facts);
  const uint32_t count = nodes.Count(files, MemoryNodes());
  EXPECT_GE(count, 1u);
  EXPECT_LE(count, NumaNodes::kMaxNodes);
  EXPECT_LT(nodes.Current(), count);
  for (const bool detected : {false, true}) {
    if (detected) DetectCpuNumberSource();
    std::thread([&] {
      cpu_set_t set;
      ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
      for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &set)) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
        EXPECT_EQ(facts.Cpu(), cpu);
        uint32_t asked = ~0u;
        uint32_t node = ~0u;
        ASSERT_TRUE(facts.CpuAndNode(&asked, &node));
        EXPECT_EQ(asked, cpu);
      }
    }).join();
  }
}

}  // namespace
}  // namespace spanmalloc::os

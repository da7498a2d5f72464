// SPDX-License-Identifier: Apache-2.0
//
// The CPUs and nodes of a machine that a test invents.
#ifndef SPANMALLOC_TESTS_SUPPORT_FAKE_NODE_FACTS_H_
#define SPANMALLOC_TESTS_SUPPORT_FAKE_NODE_FACTS_H_

#include <map>

#include "allocator/os/numa_nodes.h"

namespace spanmalloc {

class FakeNodeFacts final : public os::NodeFacts {
 public:
  uint32_t Cpu() override { return cpu; }
  bool CpuAndNode(uint32_t* of_cpu, uint32_t* node) override {
    ++asked;
    const auto found = node_of_cpu.find(cpu);
    *of_cpu = cpu;
    *node = found == node_of_cpu.end() ? cpu : found->second;
    return !silent;
  }

  // By the kernel's numbers. A CPU that isn't named is a node's only one, and has its number.
  std::map<uint32_t, uint32_t> node_of_cpu;
  bool silent = false;
  std::atomic<int> asked{0};
  // Where the thread runs.
  static inline thread_local uint32_t cpu = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_FAKE_NODE_FACTS_H_

// SPDX-License-Identifier: Apache-2.0
//
// The machine's NUMA nodes that have CPUs, by small numbers from 0 on, and the one that the calling
// thread runs on. The answer may be stale the moment it is returned; any answer is correct.
//
// How many there are is found out once, when the page heaps are placed. Whose memory may come from
// one node only (a single node, or a cpuset) has one. Of a CPU the kernel is asked when a thread is
// first found on it; from then on a table answers.
#ifndef SPANMALLOC_ALLOCATOR_OS_NUMA_NODES_H_
#define SPANMALLOC_ALLOCATOR_OS_NUMA_NODES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/os/control_groups.h"
#include "allocator/util/attributes.h"
#include "allocator/util/bitmap.h"

namespace spanmalloc::os {

// What the kernel tells about nodes and CPUs, by its own numbers.
class NodeFacts {
 public:
  // The CPU that the calling thread runs on; ~0 if it isn't known.
  virtual uint32_t Cpu() = 0;

  // That CPU and its node, at the price of a system call. False if the kernel doesn't say.
  virtual bool CpuAndNode(uint32_t* cpu, uint32_t* node) = 0;

 protected:
  ~NodeFacts() = default;
};

class KernelNodeFacts final : public NodeFacts {
 public:
  constexpr KernelNodeFacts() = default;
  uint32_t Cpu() override;
  bool CpuAndNode(uint32_t* cpu, uint32_t* node) override;
};

// From how many nodes the process's memory may come; 0 if the kernel doesn't say.
size_t MemoryNodes();

class NumaNodes {
 public:
  explicit constexpr NumaNodes(NodeFacts& facts) : facts_(facts) {}

  // Further nodes share the numbers of the first ones.
  static constexpr uint32_t kMaxNodes = 8;

  // Finds out how many nodes there are, at least 1, at most kMaxNodes. Reads a file, unless it is
  // known that the process's memory comes from one. Call once, before Current.
  uint32_t Count(TextFiles& files, size_t memory_nodes) {
    return memory_nodes == 1 ? count_ : ReadCount(files);
  }

  // The number, below what Count returned, of the calling thread's node.
  uint32_t Current() {
    const uint32_t cpu = facts_.Cpu();
    const uint8_t known = cpu < kCpus ? node_of_cpu_[cpu].load(std::memory_order_relaxed) : 0;
    return ABSL_PREDICT_TRUE(known != 0) ? known - 1u : Ask();
  }

 private:
  // CPUs and nodes numbered beyond are asked for each time, or share a number.
  static constexpr uint32_t kCpus = 1024;
  static constexpr size_t kNodeIds = 1024;

  uint32_t ReadCount(TextFiles& files);
  uint32_t Ask();
  uint32_t NumberOf(uint32_t id) const;

  NodeFacts& facts_;
  uint32_t count_ = 1;
  Bitmap<kNodeIds> with_cpus_;                    // by the kernel's numbers
  std::atomic<uint8_t> node_of_cpu_[kCpus] = {};  // its number plus 1; 0: not asked yet
};

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_NUMA_NODES_H_

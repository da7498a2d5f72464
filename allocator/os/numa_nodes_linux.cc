// SPDX-License-Identifier: Apache-2.0
//
// The kernel's list of nodes that have CPUs, get_mempolicy, and getcpu for numa_nodes.h.
#include <linux/mempolicy.h>

#include <string_view>

#include "allocator/os/current_cpu.h"
#include "allocator/os/numa_nodes.h"
#include "allocator/os/system_call.h"

namespace spanmalloc::os {
namespace {

// Of a kernel that was built for as many nodes as one can be.
constexpr size_t kMaskBits = 1024;

// Cuts off and returns the number that a text starts with.
size_t CutNumber(std::string_view* text) {
  size_t number = 0;
  while (!text->empty() && text->front() >= '0' && text->front() <= '9') {
    if (number < kMaskBits) number = number * 10 + static_cast<size_t>(text->front() - '0');
    text->remove_prefix(1);
  }
  return number;
}

bool CutCharacter(std::string_view* text, char c) {
  if (text->empty() || text->front() != c) return false;
  text->remove_prefix(1);
  return true;
}

}  // namespace

size_t MemoryNodes() {
  unsigned long mask[kMaskBits / (8 * sizeof(unsigned long))] = {};
  const long result =
      SystemCall(SYS_get_mempolicy, 0, AsArgument(mask), kMaskBits, 0, MPOL_F_MEMS_ALLOWED);
  if (IsError(result)) return 0;
  size_t count = 0;
  for (const unsigned long word : mask) count += static_cast<size_t>(__builtin_popcountl(word));
  return count;
}

uint32_t KernelNodeFacts::Cpu() { return CpuNumber(); }

bool KernelNodeFacts::CpuAndNode(uint32_t* cpu, uint32_t* node) {
  return !IsError(SystemCall(SYS_getcpu, AsArgument(cpu), AsArgument(node)));
}

// The file has numbers and ranges: "0-1,4".
uint32_t NumaNodes::ReadCount(TextFiles& files) {
  char buffer[512];
  std::string_view text(buffer,
                        files.Read("/sys/devices/system/node/has_cpu", buffer, sizeof(buffer)));
  do {
    if (text.empty() || text.front() < '0' || text.front() > '9') break;
    const size_t first = CutNumber(&text);
    const size_t last = CutCharacter(&text, '-') ? CutNumber(&text) : first;
    if (first <= last && last < kNodeIds) with_cpus_.SetRange(first, last - first + 1);
  } while (CutCharacter(&text, ','));
  const size_t found = with_cpus_.Count();
  count_ = found == 0 ? 1 : found < kMaxNodes ? static_cast<uint32_t>(found) : kMaxNodes;
  return count_;
}

// A node's place among those that have CPUs. One that had none then, or didn't exist, shares the
// number of another.
uint32_t NumaNodes::NumberOf(uint32_t id) const {
  const size_t before = with_cpus_.CountRange(0, id < kNodeIds ? id : kNodeIds);
  return static_cast<uint32_t>(before % count_);
}

uint32_t NumaNodes::Ask() {
  uint32_t cpu = 0;
  uint32_t id = 0;
  if (!facts_.CpuAndNode(&cpu, &id)) return 0;
  const uint32_t number = NumberOf(id);
  if (cpu < kCpus) {
    node_of_cpu_[cpu].store(static_cast<uint8_t>(number + 1), std::memory_order_relaxed);
  }
  return number;
}

}  // namespace spanmalloc::os

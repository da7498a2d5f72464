// SPDX-License-Identifier: Apache-2.0
//
// How much memory the process's control groups let it use, of either version of cgroups, and how
// far they are from that: each level from the process's own group up to the root that it sees.
//
// Called by the memory limits (cache/memory_limits), seldom, under a lock of the caller's.
#ifndef SPANMALLOC_ALLOCATOR_OS_GROUP_MEMORY_H_
#define SPANMALLOC_ALLOCATOR_OS_GROUP_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "allocator/os/control_groups.h"

namespace spanmalloc::os {

// A limit of the group that is closest to it, in bytes.
struct MemoryBound {
  static constexpr size_t kNone = ~size_t{0};

  size_t limit = kNone;
  size_t room = kNone;  // until it is reached, by memory that can't be dropped as file cache can

  bool exists() const { return limit != kNone; }
};

struct GroupMemoryReading {
  bool told = false;  // some file could be read
  MemoryBound max;    // memory.max: beyond, the kernel kills
  MemoryBound high;   // memory.high, or version 1's soft limit: beyond, it slows down
  size_t usage = 0;   // bytes of the process's own group, file cache included
  // Of the last ten seconds, 1/10000ths in which some thread of the process's own group waited for
  // memory. Version 2 alone tells.
  uint32_t pressure = 0;

  bool limited() const { return max.exists() || high.exists(); }
};

class GroupMemory {
 public:
  explicit constexpr GroupMemory(ControlGroups& groups) : groups_(groups) {}

  // Reads at most 2 + 4 * ControlGroups::kMaxLevels files.
  GroupMemoryReading Read();

 private:
  void Look(const ControlGroup& group, GroupMemoryReading* reading);
  size_t DroppableFileCache(const ControlGroup& group);
  uint32_t Pressure(const ControlGroup& group);

  ControlGroups& groups_;
};

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_GROUP_MEMORY_H_

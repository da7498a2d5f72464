// SPDX-License-Identifier: Apache-2.0
//
// What the central free lists of each CPU hold, and how often they were used: numbers of one epoch
// by CPU and size class, which add up to those of the automatic arena. Taken only once somebody has
// asked for them, since they take memory of the allocator's own, 9 KiB for each CPU. The control
// floor keeps them; guarded by its lock.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_CPU_LISTS_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_CPU_LISTS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/central/per_cpu_central.h"
#include "allocator/heap/metadata_allocator.h"
#include "allocator/os/lock_stats.h"
#include "allocator/params/size_class_table.h"

namespace spanmalloc {

// One class on one CPU.
struct CpuListStats {
  CentralFreeListStats list;
  os::LockAcquisitions lock;
};

class CpuLists {
 public:
  constexpr CpuLists() = default;

  // Makes room for the CPUs there are, and forgets what was taken. False if there is no memory.
  bool Begin(PerCpuCentral& central, MetadataAllocator& metadata);

  // Takes the numbers of a class. Returns their sum. Requires: Begin.
  CentralFreeListStats TakeClass(PerCpuCentral& central, SizeClass size_class);

  // Whether Begin was ever called with success.
  bool wanted() const { return capacity_ != 0; }

  // CPUs have numbers below this; that one has no lists at all is possible.
  size_t end() const { return end_; }

  // As ArenaSnapshots::Bytes and MoveTo.
  size_t Bytes() const { return end_ * kBytesPerCpu; }
  void MoveTo(void* memory);

  // All zero for a CPU without a list of that class. Requires: cpu < end().
  const CpuListStats& At(size_t cpu, size_t size_class) const {
    return table_[cpu * kSizeClassEnd + size_class];
  }

 private:
  static constexpr size_t kBytesPerCpu = kSizeClassEnd * sizeof(CpuListStats);

  CpuListStats* table_ = nullptr;  // by CPU, then by size class
  size_t capacity_ = 0;            // in CPUs
  size_t end_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_CPU_LISTS_H_

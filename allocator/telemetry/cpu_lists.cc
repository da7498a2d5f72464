// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/cpu_lists.h"

#include <string.h>

namespace spanmalloc {

bool CpuLists::Begin(PerCpuCentral& central, MetadataAllocator& metadata) {
  const size_t cpus = central.shards();
  if (cpus > capacity_ || capacity_ == 0) {
    const size_t capacity = cpus == 0 ? 1 : cpus;
    auto* table = static_cast<CpuListStats*>(metadata.Allocate(capacity * kBytesPerCpu));
    if (table == nullptr) return false;
    if (capacity_ != 0) metadata.Free(table_, capacity_ * kBytesPerCpu);
    table_ = table;
    capacity_ = capacity;
  }
  end_ = cpus;
  for (size_t i = 0; i < end_ * kSizeClassEnd; ++i) table_[i] = {};
  return true;
}

void CpuLists::MoveTo(void* memory) {
  if (end_ != 0) memcpy(memory, table_, Bytes());
  table_ = static_cast<CpuListStats*>(memory);
}

CentralFreeListStats CpuLists::TakeClass(PerCpuCentral& central, SizeClass size_class) {
  CentralFreeListStats sum = {};
  central.ForEachListOf(size_class, [&](CentralFreeList& list) {
    CpuListStats stats = {};
    list.AddStats(&stats.list);
    stats.lock = list.lock().acquisitions();
    sum.Add(stats.list);
    // One that was made meanwhile is told of in the next epoch.
    if (list.shard() < end_) table_[list.shard() * kSizeClassEnd + size_class] = stats;
  });
  return sum;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/cpu_lists.h"

namespace spanmalloc {
namespace {

constexpr size_t kBytesPerCpu = kSizeClassEnd * sizeof(CpuListStats);

}  // namespace

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

// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/thread_counts.h"

namespace spanmalloc {

ThreadCounts* ThreadCountsPool::Acquire(MetadataAllocator& metadata) {
  // Acquire: pairs with the release in Acquire below.
  for (ThreadCounts* counts = first_.load(std::memory_order_acquire); counts != nullptr;
       counts = counts->next_) {
    // Acquire: pairs with the release in Release.
    if (counts->in_use_.exchange(true, std::memory_order_acquire)) continue;
    RelaxedStore(counts->allocated_, uint64_t{0});
    RelaxedStore(counts->freed_, uint64_t{0});
    counts->ResetPeak();
    return counts;
  }
  auto* counts = metadata.New<ThreadCounts>();
  if (counts == nullptr) return nullptr;
  counts->in_use_.store(true, std::memory_order_relaxed);
  counts->next_ = first_.load(std::memory_order_relaxed);
  // Release: pairs with the acquires above and in ForEach.
  while (!first_.compare_exchange_weak(counts->next_, counts, std::memory_order_release,
                                       std::memory_order_relaxed)) {
  }
  return counts;
}

void ThreadCountsPool::Release(ThreadCounts* counts) {
  // Release: pairs with the acquire in Acquire.
  counts->in_use_.store(false, std::memory_order_release);
}

void ThreadCountsPool::AddRequests(uint64_t* requests) const {
  ForEach([requests](const ThreadCounts& counts) {
    for (size_t c = 0; c < kSizeClassEnd; ++c) requests[c] += RelaxedLoad(counts.requests_[c]);
  });
}

void ThreadCountsPool::ResetAfterFork(ThreadCounts* own) {
  ForEach([own](ThreadCounts& counts) {
    if (&counts != own) counts.in_use_.store(false, std::memory_order_relaxed);
  });
}

bool ThreadCountsPool::CheckInvariants() const {
  bool good = true;
  ForEach([&good](const ThreadCounts& counts) { good = good && counts.CheckInvariants(); });
  return good;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// What a thread allocated and freed, counted call by call, for threads that are asked
// (mallctl's thread.allocated) or for all threads (the option count_requests). The hit path counts
// nothing: a thread that counts has its cache hidden from its fast paths (ThreadState::SetHidden),
// so that each of its calls comes to a slow path, which serves it from the same cache and counts.
// (docs/decisions/0018-counting-threads.md)
//
// The entry points' floor decides which thread counts and calls Note*; the statistics sum up the
// requests of all threads. Only the owning thread writes its counts, and no signal handler of its,
// since it does so inside slow paths. Others may read them at any time.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_THREAD_COUNTS_H_
#define SPANMALLOC_ALLOCATOR_CACHE_THREAD_COUNTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/heap/metadata_allocator.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_table.h"
#include "allocator/util/relaxed.h"

namespace spanmalloc {

class alignas(kCacheLine) ThreadCounts {
 public:
  // An allocation of a block of class `c` (kNoSizeClass: a large one) with so many usable bytes.
  void NoteAllocated(size_t c, size_t bytes) {
    RelaxedStore(requests_[c], requests_[c] + 1);
    RelaxedStore(allocated_, allocated_ + bytes);
    NotePeak();
  }

  // A block of so many usable bytes was freed.
  void NoteFreed(size_t bytes) { RelaxedStore(freed_, freed_ + bytes); }

  // realloc left a block where it is; that counts as a block allocated and another freed.
  void NoteResized(size_t old_bytes, size_t bytes) {
    NoteFreed(old_bytes);
    RelaxedStore(allocated_, allocated_ + bytes);
    NotePeak();
  }

  // Bytes since the thread began to count. The addresses stay good for the thread's life.
  const uint64_t* allocated() const { return &allocated_; }
  const uint64_t* freed() const { return &freed_; }

  // By how much allocated() exceeded freed() at most, compared with what it did at ResetPeak or
  // when the thread began to count.
  uint64_t peak() const { return static_cast<uint64_t>(RelaxedLoad(peak_)); }
  void ResetPeak() {
    RelaxedStore(at_reset_, Balance());
    RelaxedStore(peak_, int64_t{0});
  }

  bool CheckInvariants() const { return peak_ >= 0 && peak_ >= Balance() - at_reset_; }

 private:
  friend class ThreadCountsPool;

  int64_t Balance() const { return static_cast<int64_t>(allocated_ - freed_); }
  void NotePeak() {
    const int64_t above = Balance() - at_reset_;
    if (above > peak_) RelaxedStore(peak_, above);
  }

  uint64_t allocated_ = 0;
  uint64_t freed_ = 0;
  int64_t at_reset_ = 0;
  int64_t peak_ = 0;
  ThreadCounts* next_ = nullptr;  // written once
  std::atomic<bool> in_use_{false};
  // By class; those of all threads that ever had this place.
  uint64_t requests_[kSizeClassEnd] = {};
};

// The counts of all threads that count. Places are handed on, never freed, so nothing here needs a
// lock.
class ThreadCountsPool {
 public:
  constexpr ThreadCountsPool() = default;

  // A place for the calling thread, which counts from 0; nullptr if out of memory.
  ThreadCounts* Acquire(MetadataAllocator& metadata);

  // The thread ends.
  void Release(ThreadCounts* counts);

  // Whether every thread counts, from its first call on.
  bool all() const { return all_.load(std::memory_order_relaxed); }
  void SetAll(bool all) { all_.store(all, std::memory_order_relaxed); }

  // Adds the requests that were counted, of each class, to requests[class].
  void AddRequests(uint64_t* requests) const;

  // In a forked child: of the threads that counted, only the one with `own` (nullptr: none) exists.
  void ResetAfterFork(ThreadCounts* own);

  bool CheckInvariants() const;

 private:
  template <typename Visit>
  void ForEach(Visit visit) const {
    // Acquire: pairs with the release in Acquire.
    for (ThreadCounts* counts = first_.load(std::memory_order_acquire); counts != nullptr;
         counts = counts->next_) {
      visit(*counts);
    }
  }

  std::atomic<ThreadCounts*> first_{nullptr};
  std::atomic<bool> all_{false};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_THREAD_COUNTS_H_

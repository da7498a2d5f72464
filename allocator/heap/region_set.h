// SPDX-License-Identifier: Apache-2.0
//
// All regions: makes and destroys them, commits their memory and gives it back, sums them up for
// the statistics. Their address space is the kernel's to place, apart from the heap's.
//
// Called by the entry points and the statistics. One lock, which no other is taken under; the
// system calls for a region's memory are made under it, so that nobody measures what is being
// unmapped.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_REGION_SET_H_
#define SPANMALLOC_ALLOCATOR_HEAP_REGION_SET_H_

#include <cstddef>
#include <cstdint>

#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/region.h"
#include "allocator/os/ranked_lock.h"
#include "allocator/os/virtual_memory.h"
#include "allocator/util/intrusive_list.h"

namespace spanmalloc {

struct RegionStats {
  size_t regions;
  // Sums, in bytes.
  size_t used;
  size_t committed;
  size_t reserved;
};

class RegionSet {
 public:
  constexpr RegionSet(os::VirtualMemory& memory, MetadataAllocator& metadata)
      : memory_(memory), metadata_(metadata) {}

  // A region of `reserve` bytes, rounded up to pages of the system. nullptr if the kernel refuses.
  Region* Create(size_t reserve, bool shared) ABSL_LOCKS_EXCLUDED(lock_);

  // Requires: nobody uses the region or its blocks.
  void Destroy(Region* region) ABSL_LOCKS_EXCLUDED(lock_);

  // `size` bytes at `alignment`, a power of two; nullptr if the region has no room for them or the
  // kernel refuses the memory. Requires: `size` isn't 0. Thread-safe if the region is shared.
  void* Allocate(Region* region, size_t size, size_t alignment) ABSL_LOCKS_EXCLUDED(lock_);

  // Gives back the memory behind what is in use, and behind the first `keep` bytes; it reads as
  // zeros then. Returns how many bytes were resident. Requires: nobody allocates meanwhile.
  size_t Trim(Region* region, size_t keep) ABSL_LOCKS_EXCLUDED(lock_);

  RegionStats Stats() ABSL_LOCKS_EXCLUDED(lock_);

  // Asks the kernel how many bytes of all regions are resident.
  size_t ResidentBytes() ABSL_LOCKS_EXCLUDED(lock_);

  bool CheckInvariants() ABSL_LOCKS_EXCLUDED(lock_);

  os::RankedLock& lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }

 private:
  // What is committed at once: as much again as there is, within these bounds. (A huge page at
  // most, since the kernel gives one only where all of it is committed.)
  static constexpr size_t kFirstStep = size_t{64} << 10;
  static constexpr size_t kLastStep = size_t{2} << 20;

  bool Grow(Region* region, uintptr_t end) ABSL_LOCKS_EXCLUDED(lock_);

  os::VirtualMemory& memory_;
  MetadataAllocator& metadata_;
  os::RankedLock lock_{LockRank::kRegions};
  IntrusiveList<Region> live_ ABSL_GUARDED_BY(lock_);
  uint64_t created_ ABSL_GUARDED_BY(lock_) = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_REGION_SET_H_

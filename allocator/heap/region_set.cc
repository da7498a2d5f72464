// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/region_set.h"

#include <new>

#include "allocator/params/memory_geometry.h"

namespace spanmalloc {

Region* RegionSet::Create(size_t reserve, bool shared) {
  // More than any address space, and where rounding would overflow.
  if (reserve > PTRDIFF_MAX) return nullptr;
  const size_t size = RoundUp(reserve == 0 ? 1 : reserve, memory_.PageSize());
  void* block = metadata_.Allocate(sizeof(Region));
  if (block == nullptr) return nullptr;
  void* base = memory_.Reserve(size);
  if (base == nullptr) {
    metadata_.Free(block, sizeof(Region));
    return nullptr;
  }
  os::LockHolder hold(lock_);
  auto* region = new (block) Region(reinterpret_cast<uintptr_t>(base), size, shared, ++created_);
  live_.PushFront(region);
  return region;
}

void RegionSet::Destroy(Region* region) {
  {
    os::LockHolder hold(lock_);
    live_.Remove(region);
    void* base = reinterpret_cast<void*>(region->base());
    // Where unmapping is refused, the address space stays and the memory goes.
    if (!memory_.Unmap(base, region->end() - region->base()) && region->committed() != 0) {
      memory_.Release(base, region->committed());
    }
    region->NoteGone();
  }
  metadata_.Delete(region);
}

void* RegionSet::Allocate(Region* region, size_t size, size_t alignment) {
  for (;;) {
    uintptr_t end;
    void* block = region->Allocate(size, alignment, &end);
    if (block != nullptr) return block;
    if (!Grow(region, end)) return nullptr;
  }
}

// Commits the region up to `end` at least. False if that is beyond its end, or refused.
bool RegionSet::Grow(Region* region, uintptr_t end) {
  if (end > region->end()) return false;
  os::LockHolder hold(lock_);
  const size_t committed = region->committed();
  const uintptr_t from = region->base() + committed;
  if (end <= from) return true;  // another thread was here
  size_t step = committed < kFirstStep ? kFirstStep : committed;
  if (step > kLastStep) step = kLastStep;
  const size_t multiple = step < kLastStep ? memory_.PageSize() : kLastStep;
  const uintptr_t most = (from + step) / multiple * multiple;
  const uintptr_t wish = end > most ? RoundUp(end, multiple) : most;
  const uintptr_t least = RoundUp(end, memory_.PageSize());
  for (const uintptr_t goal : {wish < region->end() ? wish : region->end(), least}) {
    if (!memory_.Commit(reinterpret_cast<void*>(from), goal - from)) continue;
    region->SetCommitted(goal - region->base());
    return true;
  }
  return false;
}

size_t RegionSet::Trim(Region* region, size_t keep) {
  os::LockHolder hold(lock_);
  const RegionSizes sizes = region->Sizes();
  if (keep < sizes.used) keep = sizes.used;
  if (keep >= sizes.committed) return 0;
  const size_t kept = RoundUp(keep, memory_.PageSize());
  if (kept >= sizes.committed) return 0;
  void* from = reinterpret_cast<void*>(region->base() + kept);
  const size_t resident = memory_.Resident(from, sizes.committed - kept);
  return memory_.Release(from, sizes.committed - kept) ? resident : 0;
}

RegionStats RegionSet::Stats() {
  os::LockHolder hold(lock_);
  RegionStats stats = {};
  for (const Region* region = live_.front(); region != nullptr; region = region->next) {
    const RegionSizes sizes = region->Sizes();
    ++stats.regions;
    stats.used += sizes.used;
    stats.committed += sizes.committed;
    stats.reserved += sizes.reserved;
  }
  return stats;
}

size_t RegionSet::ResidentBytes() {
  os::LockHolder hold(lock_);
  size_t bytes = 0;
  for (const Region* region = live_.front(); region != nullptr; region = region->next) {
    if (region->committed() == 0) continue;
    bytes += memory_.Resident(reinterpret_cast<const void*>(region->base()), region->committed());
  }
  return bytes;
}

bool RegionSet::CheckInvariants() {
  os::LockHolder hold(lock_);
  for (const Region* region = live_.front(); region != nullptr; region = region->next) {
    if (!region->CheckInvariants()) return false;
  }
  return true;
}

}  // namespace spanmalloc

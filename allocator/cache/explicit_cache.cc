// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/explicit_cache.h"

#include <string.h>

namespace spanmalloc {

// Up to `want` objects from the central lists, or from an arena of the program's.
size_t ExplicitCache::TakeFromArena(unsigned arena, size_t c, void** out, size_t want,
                                    bool* zeroed) {
  const auto size_class = static_cast<SizeClass>(c);
  return arena == 0 ? context_.central.Remove(size_class, out, want, zeroed)
                    : context_.arenas.AllocateBatch(arena, size_class, out, want, zeroed);
}

void ExplicitCache::ReturnToArena(unsigned arena, size_t c, void* const* objects, size_t count) {
  const auto size_class = static_cast<SizeClass>(c);
  if (arena == 0) return context_.central.Insert(size_class, objects, count);
  context_.arenas.FreeBatch(arena, size_class, objects, count);
}

// Makes room for `capacity` objects in the bin's array.
bool ExplicitCache::Reserve(size_t c, size_t capacity) {
  Bin& bin = bins_[c];
  if (bin.capacity() >= capacity) return true;
  uint8_t log = kMinArrayLog;
  while (size_t{1} << log < capacity) ++log;
  auto** slots = static_cast<void**>(context_.metadata.Allocate(sizeof(void*) << log));
  if (slots == nullptr) return false;
  if (bin.array_log != 0) {
    memcpy(slots, bin.slots, bin.held * sizeof(void*));
    context_.metadata.Free(bin.slots, bin.array_bytes());
  }
  bin.slots = slots;
  bin.array_log = log;
  return true;
}

// Lets the bin hold `limit` objects, as ThreadState does it.
bool ExplicitCache::RaiseLimit(size_t c, size_t limit, bool within_budget) {
  Bin& bin = bins_[c];
  if (limit <= bin.limit) return true;
  const auto cost = static_cast<int64_t>((limit - bin.limit) * kSizeClassTable[c].size);
  if (!share_.Provide(context_.budget, cost) && within_budget) return false;
  if (!Reserve(c, limit)) return false;
  share_.Pay(cost);
  bin.limit = static_cast<uint16_t>(limit);
  return true;
}

void* ExplicitCache::Refill(unsigned arena, size_t c, bool* zeroed) {
  os::LockHolder hold(lock_);
  *zeroed = false;
  if (arena != arena_) {
    Empty();
    RelaxedStore(arena_, arena);
  }
  Bin& bin = bins_[c];
  const SizeClassInfo& info = kSizeClassTable[c];
  const size_t want = NextRefill(info, &bin.history);
  if (bin.limit < 2 * want) {
    const size_t wish = 2 * want;
    RaiseLimit(c, want, /*within_budget=*/info.size > kMaxOverdrawnSize);
    RaiseLimit(c, wish < info.cache_limit ? wish : info.cache_limit, /*within_budget=*/true);
  }
  void* batch[PerCpuCentral::kMaxBatch];
  const size_t room = size_t{bin.limit} + 1;  // one goes to the caller
  const size_t got = TakeFromArena(arena, c, batch, want < room ? want : room, zeroed);
  if (got == 0) return nullptr;
  // Lowest addresses on top, so that successive allocations ascend.
  for (size_t i = 1; i < got; ++i) bin.slots[got - 1 - i] = batch[i];
  RelaxedStore(bin.held, static_cast<uint32_t>(got - 1));
  return batch[0];
}

// Gives the `count` objects at the bottom, the coldest, back.
void ExplicitCache::ReturnOldest(size_t c, size_t count) {
  Bin& bin = bins_[c];
  ReturnToArena(arena_, c, bin.slots, count);
  memmove(bin.slots, bin.slots + count, (bin.held - count) * sizeof(void*));
  RelaxedStore(bin.held, static_cast<uint32_t>(bin.held - count));
}

void ExplicitCache::Overflow(unsigned arena, size_t c, void* object) {
  os::LockHolder hold(lock_);
  if (arena != arena_ && HoldsNothing()) RelaxedStore(arena_, arena);
  if (arena != arena_) return ReturnToArena(arena, c, &object, 1);
  Bin& bin = bins_[c];
  const SizeClassInfo& info = kSizeClassTable[c];
  if (bin.limit == 0) {
    RaiseLimit(c, info.batch, /*within_budget=*/info.size > kMaxOverdrawnSize);
  } else if (bin.held >= bin.limit) {
    RaiseLimit(c, LimitAfterOverflow(info, bin.limit, &bin.history), /*within_budget=*/true);
  }
  if (bin.limit == 0) return ReturnToArena(arena, c, &object, 1);
  if (bin.held >= bin.limit) ReturnOldest(c, (bin.held + 1) / 2);
  Push(arena, c, object);
}

bool ExplicitCache::HoldsNothing() const {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    if (bins_[c].held != 0) return false;
  }
  return true;
}

void ExplicitCache::Empty() {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    Bin& bin = bins_[c];
    if (bin.held != 0) ReturnOldest(c, bin.held);
    if (bin.array_log != 0) context_.metadata.Free(bin.slots, bin.array_bytes());
    bin = Bin();
  }
  share_.ReturnAll(context_.budget);
}

void ExplicitCache::Flush() {
  os::LockHolder hold(lock_);
  Empty();
}

void ExplicitCache::AddCounts(size_t* counts) const {
  for (size_t c = 1; c < kSizeClassEnd; ++c) counts[c] += RelaxedLoad(bins_[c].held);
}

bool ExplicitCache::CheckInvariants() {
  os::LockHolder hold(lock_);
  int64_t cost = 0;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const Bin& bin = bins_[c];
    if (bin.held > bin.limit || bin.limit > bin.capacity()) return false;
    if ((bin.slots == nullptr) != (bin.array_log == 0)) return false;
    for (uint32_t i = 0; i < bin.held; ++i) {
      if (bin.slots[i] == nullptr) return false;
    }
    cost += static_cast<int64_t>(bin.limit * kSizeClassTable[c].size);
  }
  return share_.paid() == cost;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/thread_state.h"

#include <string.h>

namespace spanmalloc {

// Up to `want` objects from the central lists, or from an arena of the program's.
size_t ThreadState::Take(size_t c, void** out, size_t want, bool* zeroed, AtPeak at_peak) {
  const auto size_class = static_cast<SizeClass>(c);
  return ABSL_PREDICT_TRUE(arena_ == 0)
             ? context_.central.Remove(size_class, out, want, zeroed, at_peak)
             : context_.arenas->AllocateBatch(arena_, size_class, out, want, zeroed);
}

void ThreadState::Return(size_t c, void* const* objects, size_t count) {
  if (ABSL_PREDICT_FALSE(arena_ != 0)) return ReturnToSpans(c, objects, count);
  context_.central.Insert(static_cast<SizeClass>(c), objects, count);
}

void ThreadState::ReturnToSpans(size_t c, void* const* objects, size_t count) {
  const auto size_class = static_cast<SizeClass>(c);
  if (arena_ == 0) return context_.central.InsertInSpans(size_class, objects, count);
  context_.arenas->FreeBatch(arena_, size_class, objects, count, epoch_);
}

// The arena was reset: what the cache holds is nobody's. It keeps its arrays and limits.
void ThreadState::ForgetEpoch() {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    if (bins_[c].array_log == 0) continue;
    SetTop(c, Base(c));
    bins_[c].held_at_look = kNeverHeld;
  }
  epoch_ = context_.arenas->Epoch(arena_);
}

void ThreadState::SetLimit(size_t c, size_t limit) {
  cache.limit[c] = Base(c) + limit;
  bins_[c].limit = static_cast<uint16_t>(limit);
}

// Makes room for `capacity` objects in the bin's array.
bool ThreadState::Reserve(size_t c, size_t capacity) {
  Bin& bin = bins_[c];
  if (bin.capacity() >= capacity) return true;
  Bin grown = bin;
  if (grown.array_log < kMinArrayLog) grown.array_log = kMinArrayLog;
  while (grown.capacity() < capacity) ++grown.array_log;
  auto** storage = static_cast<void**>(context_.metadata.Allocate(grown.array_bytes()));
  if (storage == nullptr) return false;
  void** base = storage + 1;  // storage[0], zero, is the sentinel
  const size_t held = Held(c);
  if (held != 0) memcpy(base, Base(c), held * sizeof(void*));
  if (bin.array_log != 0) context_.metadata.Free(Base(c) - 1, bin.array_bytes());
  bin = grown;
  SetTop(c, base + held);
  cache.limit[c] = base + bin.limit;
  return true;
}

// Lets the bin hold `limit` objects. Within the budget, or overdrawing it: the first few objects
// of a bin save more than they cost, if they are small.
bool ThreadState::RaiseLimit(size_t c, size_t limit, bool within_budget) {
  const size_t old = Limit(c);
  if (limit <= old) return true;
  const auto cost = static_cast<int64_t>((limit - old) * kSizeClassTable[c].size);
  if (!share_.Provide(context_.budget, cost) && within_budget) return false;
  if (!Reserve(c, limit)) return false;
  share_.Pay(cost);
  SetLimit(c, limit);
  return true;
}

void ThreadState::LowerLimit(size_t c, size_t limit) {
  const size_t old = Limit(c);
  if (limit >= old) return;
  share_.Refund(static_cast<int64_t>((old - limit) * kSizeClassTable[c].size));
  SetLimit(c, limit);
}

void* ThreadState::Refill(size_t c, bool* zeroed) {
  os::LockHolder hold(lock);
  Enter();
  TickIfDue();
  Bin& bin = bins_[c];
  const SizeClassInfo& info = kSizeClassTable[c];
  const size_t want = NextRefill(info, &bin.history);
  // Twice as many may stay, or, with the sentinel, what fills an array of a power of two.
  const size_t wish = want < 4 ? 2 * want : 2 * want - 1;
  if (Limit(c) < wish && RaiseLimit(c, want, /*within_budget=*/info.size > kMaxOverdrawnSize)) {
    RaiseLimit(c, wish < info.cache_limit ? wish : info.cache_limit, /*within_budget=*/true);
  }
  void* batch[PerCpuCentral::kMaxBatch];
  const size_t room = Limit(c) + 1;  // one goes to the caller
  const size_t wanted = want < room ? want : room;
  size_t got = Take(c, batch, wanted, zeroed, AtPeak::kAskFirst);
  if (ABSL_PREDICT_FALSE(got == 0)) got = ReturnAndTake(c, batch, wanted, zeroed);
  if (got == 0) return nullptr;
  // Lowest addresses on top, so that successive allocations ascend.
  void** top = Base(c);
  for (size_t i = got - 1; i > 0; --i) *top++ = batch[i];
  SetTop(c, top);
  return batch[0];
}

// Gives the `count` objects at the bottom of the stack, the coldest, to the central free list.
void ThreadState::FlushOldest(size_t c, size_t count) {
  void** base = Base(c);
  const size_t held = Held(c);
  Return(c, base, count);
  memmove(base, base + count, (held - count) * sizeof(void*));
  SetTop(c, base + (held - count));
}

// The heap is about to be larger than ever, or out of memory. Pages of blocks that are cached, and
// have a span each, may do.
size_t ThreadState::ReturnAndTake(size_t c, void** out, size_t want, bool* zeroed) {
  if (arena_ == 0) {
    ReturnBinsOfWholeSpans();
    context_.central.ReturnWholeSpans();
  }
  return Take(c, out, want, zeroed, AtPeak::kGrow);
}

void ThreadState::ReturnBinsOfWholeSpans() {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    if (!IsWholeSpan(c) || Held(c) == 0) continue;
    ReturnToSpans(c, Base(c), Held(c));
    SetTop(c, Base(c));
  }
}

void ThreadState::ReturnWholeSpans() {
  {
    os::LockHolder hold(lock);
    Enter();
    ReturnBinsOfWholeSpans();
  }
  context_.central.ReturnWholeSpans();
}

void ThreadState::Overflow(size_t c, void* object) {
  os::LockHolder hold(lock);
  Enter();
  TickIfDue();
  Bin& bin = bins_[c];
  const SizeClassInfo& info = kSizeClassTable[c];
  size_t limit = Limit(c);
  if (limit == 0) {
    // The thread frees what others allocated. Kept here, the object's cache line would be handed
    // out next to others still in use elsewhere; back in its span, it returns to its neighbours.
    if (bin.history.refill == 0 && bin.strays < kStraysToActivate) {
      ++bin.strays;
      return ReturnToSpans(c, &object, 1);
    }
    if (!RaiseLimit(c, info.batch, /*within_budget=*/info.size > kMaxOverdrawnSize)) {
      return Return(c, &object, 1);
    }
    limit = Limit(c);
  }
  const bool only_frees = bin.OnlyFrees();
  if (Held(c) >= limit) {
    const size_t raised = only_frees ? info.batch : LimitAfterOverflow(info, limit, &bin.history);
    RaiseLimit(c, raised, /*within_budget=*/true);
  }
  // What it holds it doesn't take out again, then.
  if (Held(c) >= Limit(c)) FlushOldest(c, only_frees ? Held(c) : (Held(c) + 1) / 2);
  cache.Push(c, object);
}

void ThreadState::Summon(size_t pages, uint64_t now_ms, uint64_t until_ms) {
  const bool before = summoned();
  if (pages > summoned_for_) summons_ += pages - summoned_for_;
  summoned_for_ = pages;
  if (until_ms > summoned_until_ms_) summoned_until_ms_ = until_ms;
  if (now_ms >= summoned_until_ms_) summons_ = 0;
  if (summoned() != before) cache.ShowSmallClasses(before);
}

void ThreadState::CountSummons() {
  if (--summons_ == 0) cache.ShowSmallClasses(true);
}

void ThreadState::EndSummons() {
  if (summoned()) cache.ShowSmallClasses(true);
  summons_ = 0;
  summoned_for_ = 0;
}

void ThreadState::TickIfDue() {
  if (++slow_paths_ < kSlowPathsPerTick) return;
  slow_paths_ = 0;
  const uint64_t now = context_.clock.NowMs();
  if (now < next_tick_ms_) return;
  next_tick_ms_ = now + kTickMs;
  Tick();
}

void ThreadState::ReturnIdle() {
  ReturnOwnIdle();
  if (of_arena != nullptr) of_arena->ReturnOwnIdle();
}

void ThreadState::ReturnOwnIdle() {
  os::LockHolder hold(lock);
  Enter();
  Tick();
}

// Looks the bins through for stacks that nobody touched since the last time, and gives back what
// they hold and half of what they may.
void ThreadState::Tick() {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    Bin& bin = bins_[c];
    if (bin.array_log == 0) continue;
    if (Held(c) == bin.held_at_look) {
      if (Held(c) != 0) FlushOldest(c, Held(c));
      LowerLimit(c, Limit(c) / 2);
      bin.history.refill = 0;
    }
    bin.held_at_look = static_cast<uint16_t>(Held(c));
  }
  share_.ReturnSurplus(context_.budget);
}

void ThreadState::FlushAllBins() {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    if (Held(c) != 0) FlushOldest(c, Held(c));
  }
}

void ThreadState::FlushAll() {
  FlushOwn();
  if (of_arena != nullptr) of_arena->FlushOwn();
}

void ThreadState::FlushOwn() {
  os::LockHolder hold(lock);
  Enter();
  FlushAllBins();
}

void ThreadState::TearDown() {
  os::LockHolder hold(lock);
  Enter();
  EndSummons();
  FlushAllBins();
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    Bin& bin = bins_[c];
    if (bin.array_log == 0) continue;
    context_.metadata.Free(Base(c) - 1, bin.array_bytes());
    SetTop(c, &empty_stack[1]);
    cache.limit[c] = &empty_stack[1];
    bin = Bin();
  }
  share_.ReturnAll(context_.budget);
}

bool ThreadState::HoldsAnything() {
  os::LockHolder hold(lock);
  for (const Bin& bin : bins_) {
    if (bin.array_log != 0) return true;
  }
  return false;
}

bool ThreadState::MayKeep(size_t bytes) {
  os::LockHolder hold(lock);
  Enter();
  owner_ = nullptr;
  EndSummons();
  visible_at_rest_ = &cache;
  RelaxedStore(visible_, &cache);
  return share_.paid() <= static_cast<int64_t>(bytes);
}

void ThreadState::AddCounts(size_t* counts, size_t* limits) {
  os::LockHolder hold(lock);
  for (size_t c = 1; c < kSizeClassEnd && !epoch_.IsOver(); ++c) counts[c] += Held(c) - Taken(c);
  // A cache that was taken back has none until its owner comes.
  if (limits == nullptr || revocation() == Revocation::kTaken) return;
  for (size_t c = 1; c < kSizeClassEnd; ++c) limits[c] += Limit(c);
}

bool ThreadState::CheckInvariants() {
  os::LockHolder hold(lock);
  int64_t allowed = 0;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const Bin& bin = bins_[c];
    if (Base(c)[-1] != nullptr || Top(c) < Base(c) || Limit(c) > bin.capacity()) return false;
    if (Held(c) > Limit(c)) return false;
    if (Held(c) < Taken(c) || Held(c) > Taken(c) + (Taken(c) != 0 ? 2 : Limit(c))) return false;
    allowed += static_cast<int64_t>(Limit(c) * kSizeClassTable[c].size);
  }
  if (revocation() == Revocation::kTaken) return share_.taken() == 0;
  return share_.paid() == allowed;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// One thread's cache and what its slow paths need: the arrays behind the stacks, their sizes and
// histories. Refills from and flushes into the central free lists of the CPU it runs on, or those
// of an explicit arena.
//
// A thread has a state of the common heap, and may have another of an arena: the one that it is
// bound to, or else one that it often names (Runtime::ArenaStateOrNull). The fast paths know
// nothing of arenas and never find the stacks of an arena's state: what they call when they miss
// does (Runtime::ArenaStateForHit). When an arena is reset nobody looks for what caches hold of it;
// each forgets that by itself, since with every hit and in every slow path it compares epochs.
//
// Every slow path holds `lock`, which is its own and all but never contended, so that statistics,
// fork() and who takes back an idle thread's cache find the bins in order.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_THREAD_STATE_H_
#define SPANMALLOC_ALLOCATOR_CACHE_THREAD_STATE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/cache/cache_sizing.h"
#include "allocator/cache/thread_cache.h"
#include "allocator/central/arena_set.h"
#include "allocator/central/per_cpu_central.h"
#include "allocator/heap/metadata_allocator.h"
#include "allocator/os/clock.h"
#include "allocator/os/ranked_lock.h"

namespace spanmalloc {

// What thread states share.
struct CacheContext {
  PerCpuCentral& central;
  MetadataAllocator& metadata;
  CacheBudget& budget;
  os::Clock& clock;
  ThreadCache* empty_cache;
  ArenaSet* arenas = nullptr;
};

// The block that realloc moved last because it grew, and how often in a row: a buffer that is being
// filled.
struct GrowingBlock {
  const void* block = nullptr;
  uint32_t moves = 0;
  bool reserves = false;  // whether pages behind it may be kept for it
};

struct ThreadLocals;

// What was taken back from a thread.
struct TakenBack {
  size_t objects = 0;
  size_t bytes = 0;
};

class ThreadState {
 public:
  // `owner`: the variables of the thread whose state it is. nullptr: its cache isn't taken back.
  explicit ThreadState(const CacheContext& context, ThreadLocals* owner = nullptr)
      : context_(context), owner_(owner) {}

  // The owner's state of an explicit arena that exists.
  ThreadState(const CacheContext& context, ThreadLocals* owner, unsigned arena)
      : context_(context), owner_(owner), arena_(arena), epoch_(context.arenas->Epoch(arena)) {}
  ThreadState(const ThreadState&) = delete;
  ThreadState& operator=(const ThreadState&) = delete;

  // An object of class `c` after the stack was found empty; nullptr if out of memory. `*zeroed`
  // tells whether it is known to read as zeros.
  void* Refill(size_t c, bool* zeroed) ABSL_LOCKS_EXCLUDED(lock);

  // Takes `object` of class `c` after the stack was found full.
  void Overflow(size_t c, void* object) ABSL_LOCKS_EXCLUDED(lock);

  // The arena whose objects these are; 0: the heap of all threads.
  unsigned arena() const { return arena_; }

  // A hit in an arena's cache: an object that it holds of class `c`, and whether `object`, of the
  // arena, is in it now. In a slow path after UseCache; or, if MayHit, outside of slow paths.
  void* PopOfArena(size_t c) {
    return ABSL_PREDICT_FALSE(epoch_.IsOver()) ? nullptr : cache.Pop(c);
  }
  bool PushOfArena(size_t c, void* object) {
    return ABSL_PREDICT_TRUE(!epoch_.IsOver() && Top(c)[-1] != object) && cache.Push(c, object);
  }
  // Whether `object` was the last to be put into an arena's cache, and is in it.
  bool IsOnTop(size_t c, const void* object) const {
    return Top(c)[-1] == object && !epoch_.IsOver();
  }

  // Returns what lies in bins that weren't touched since the last time, which the slow paths see to
  // from time to time; of the thread's other state too, as FlushAll.
  void ReturnIdle() ABSL_LOCKS_EXCLUDED(lock);

  // Returns blocks that have a span each, which are for everybody then, and what the CPUs' lists
  // hold of these.
  void ReturnWholeSpans() ABSL_LOCKS_EXCLUDED(lock);

  // Returns all objects to the central free lists. The bins stay.
  void FlushAll() ABSL_LOCKS_EXCLUDED(lock);

  // Returns all objects, the arrays and the budget. The stacks are empty and full afterwards.
  void TearDown() ABSL_LOCKS_EXCLUDED(lock);

  // Whether it may hold, or holds, anything.
  bool HoldsAnything() ABSL_LOCKS_EXCLUDED(lock);

  // The thread has ended. Whether the state, hidden no more, may be kept for another with all that
  // it holds: it may cache no more than `bytes`.
  bool MayKeep(size_t bytes) ABSL_LOCKS_EXCLUDED(lock);

  // Makes a state that was kept another thread's, as in the constructor. Nobody else has it.
  void Adopt(ThreadLocals* owner) {
    owner_ = owner;
    fingerprint_at_look = 0;
    idle_at_look = false;
  }

  // Adds the number of objects cached in each class to counts[class], and, where asked for, how
  // many there may be to limits[class].
  void AddCounts(size_t* counts, size_t* limits = nullptr) ABSL_LOCKS_EXCLUDED(lock);

  bool CheckInvariants() ABSL_LOCKS_EXCLUDED(lock);

  // The owner names an explicit arena of which it caches nothing. Returns how often it has, since
  // it last named another.
  unsigned NoteNamed(unsigned arena) {
    times_named_ = arena == named_arena_ ? times_named_ + 1 : 1;
    named_arena_ = arena;
    return times_named_;
  }

  // Another thread: the owner counts its calls from now on, which a slow path tells it.
  void AskToCount() ABSL_LOCKS_EXCLUDED(lock);
  // And after a barrier: hides the cache from the owner. False if it is in a slow path.
  bool HideCounted() ABSL_LOCKS_EXCLUDED(lock);

  // SUMMONS. A thread that only hits its cache comes to no slow path, which would give back what
  // the program freed before. Where nobody else does that it is summoned: its allocations of up to
  // kMaxTableSize come to slow paths, which serve them from `cache`, for some time and no more
  // than some thousands of them. All of this is the owner's, in slow paths.

  // `pages` free pages are to go back by and by. The thread is summoned once more for each that it
  // wasn't told of before; until `until_ms`, or for as long as was said before.
  void Summon(size_t pages, uint64_t now_ms, uint64_t until_ms);
  void EndSummons();
  bool summoned() const { return summons_ != 0; }
  // It came, and would have hit.
  void NoteSummoned() {
    if (summoned()) CountSummons();
  }

  // REVOCATION: what the thread caches is taken back by another, and it pays for that with a slow
  // path when it next comes. idle_caches.h has the steps and why they are safe.

  // What the owner's fast paths are to find outside slow paths: `cache`, or the empty one.
  ThreadCache* Visible() const { return RelaxedLoad(visible_); }

  // The owner, outside of slow paths: whether it may pop from an arena's `cache`, or push on it, by
  // one operation. To the other thread that is what an operation is that found the owner's own.
  bool MayHit() const { return Visible() == &cache; }

  // The owner, in a slow path, before it uses `cache`.
  void UseCache() ABSL_LOCKS_EXCLUDED(lock) {
    if (ABSL_PREDICT_FALSE(Visible() != &cache) && revocation() != Revocation::kNone) Reclaim();
  }

  // Whether the owner, in a slow path, may use `cache`, which is hidden from its fast paths for
  // good, without UseCache.
  bool MayUseHidden() const { return revocation() == Revocation::kNone; }

  // The owner, in a slow path: whether its fast paths find the empty cache from now on, whatever
  // happens, so that all its calls come to slow paths and no hit of an arena's cache comes before
  // them. Those use `cache` as ever.
  void SetHidden(bool hidden) ABSL_LOCKS_EXCLUDED(lock);

  // The other thread's steps. One thread at a time, which keeps the state from being destroyed.

  // A value that changes when the owner moves a top.
  uint64_t Fingerprint() const;
  // 1: wants the cache back, if anything worth while is in it. False: it isn't to be had.
  bool AskBack() ABSL_LOCKS_EXCLUDED(lock);
  // 2, after a barrier: hides it from the owner, who isn't in a slow path. False: it is in one, or
  // has taken the cache back already.
  bool HideFromOwner() ABSL_LOCKS_EXCLUDED(lock);
  // 3, after another barrier: takes all objects but the top one of each class.
  TakenBack TakeBack() ABSL_LOCKS_EXCLUDED(lock);
  // In the place of 2 or 3: leaves it to the owner.
  void LeaveToOwner() ABSL_LOCKS_EXCLUDED(lock);

  ThreadCache cache;
  GrowingBlock growing;  // the owning thread's alone
  // In a thread's own state: that which it has of an arena. The owner's alone.
  ThreadState* of_arena = nullptr;
  os::RankedLock lock{LockRank::kThreadState};

  // Of the thread that takes caches back.
  uint64_t fingerprint_at_look = 0;
  bool idle_at_look = false;

  // In a CPU's state: the thread that came to a slow path there last.
  std::atomic<const void*> last_thread{nullptr};

  // Links of the registry's list, under the registry's lock.
  ThreadState* previous = nullptr;
  ThreadState* next = nullptr;

 private:
  // After this many frees of a class that it never allocates, a thread gets a bin for it.
  static constexpr uint8_t kStraysToActivate = 64;

  // Every thread has all of them, in use or not: small.
  struct Bin {
    uint16_t limit = 0;                  // objects that the stack may hold
    uint16_t held_at_look = kNeverHeld;  // when the cache was last looked through, or taken back
    uint8_t array_log = 0;  // the array has 2^array_log slots, one for the sentinel; 0: none
    uint8_t strays = 0;     // frees of a class that the thread hasn't allocated
    BinHistory history;

    // The thread freed that many before it had a bin, and hasn't allocated of the class of late.
    bool OnlyFrees() const { return strays == kStraysToActivate && history.refill == 0; }
    size_t capacity() const { return (size_t{1} << array_log) - 1; }
    size_t array_bytes() const { return sizeof(void*) << array_log; }
  };
  // How far the cache has been taken back.
  enum class Revocation : uint8_t { kNone, kAsked, kHidden, kTaken };

  static constexpr uint16_t kNeverHeld = UINT16_MAX;
  static_assert(sizeof(Bin) == 8);

  // Beyond the budget, a thread may hold one batch of each class up to this size.
  static constexpr size_t kMaxOverdrawnSize = 16384;
  static constexpr uint8_t kMinArrayLog = 3;  // a cache line
  // Less isn't taken back.
  static constexpr size_t kMinTakenBytes = 8192;
  static constexpr uint32_t kSlowPathsPerTick = 64;
  static constexpr uint64_t kTickMs = 200;

  void** Top(size_t c) const { return RelaxedLoad(cache.top[c]); }
  void SetTop(size_t c, void** top) { RelaxedStore(cache.top[c], top); }
  // The bottom of the stack.
  void** Base(size_t c) const { return cache.limit[c] - bins_[c].limit; }
  size_t Held(size_t c) const { return static_cast<size_t>(Top(c) - Base(c)); }
  size_t Limit(size_t c) const { return bins_[c].limit; }
  // The objects at the bottom of the stack that were taken back and are still in the array.
  size_t Taken(size_t c) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    const size_t held = bins_[c].held_at_look;
    return revocation() == Revocation::kTaken && bins_[c].array_log != 0 && held != 0 ? held - 1
                                                                                      : 0;
  }

  size_t Take(size_t c, void** out, size_t want, bool* zeroed, AtPeak at_peak);
  ALLOC_SLOW_PATH size_t ReturnAndTake(size_t c, void** out, size_t want, bool* zeroed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void ReturnBinsOfWholeSpans() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void Return(size_t c, void* const* objects, size_t count);
  void ReturnToSpans(size_t c, void* const* objects, size_t count);
  void Enter() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    EndRevocation();
    if (ABSL_PREDICT_FALSE(epoch_.IsOver())) ForgetEpoch();
  }
  void ForgetEpoch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void CountSummons();
  void ReturnOwnIdle() ABSL_LOCKS_EXCLUDED(lock);
  void FlushOwn() ABSL_LOCKS_EXCLUDED(lock);

  bool Reserve(size_t c, size_t capacity) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  bool RaiseLimit(size_t c, size_t limit, bool within_budget) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void LowerLimit(size_t c, size_t limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void FlushOldest(size_t c, size_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void SetLimit(size_t c, size_t limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void FlushAllBins() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void Reclaim() ABSL_LOCKS_EXCLUDED(lock);
  Revocation revocation() const { return revocation_.load(std::memory_order_relaxed); }
  void EndRevocation() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void DropTaken() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void PayForLimits() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  size_t LimitPaid(size_t c, bool within_budget) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void TickIfDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void Tick() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

  ThreadCache* visible_ = &cache;
  // What `visible_` is when nothing is taken back.
  ThreadCache* visible_at_rest_ ABSL_GUARDED_BY(lock) = &cache;
  // Written under the lock, and together with `visible_`; the owner reads both as UseCache does.
  std::atomic<Revocation> revocation_{Revocation::kNone};
  CacheContext context_;
  ThreadLocals* owner_;  // changes only while nobody else has the state
  const unsigned arena_ = 0;
  ArenaEpoch epoch_;  // whose objects the cache holds; written by the owner, under the lock
  // The owner's.
  unsigned named_arena_ = 0;
  unsigned times_named_ = 0;
  size_t summons_ = 0;  // so many are left
  size_t summoned_for_ = 0;
  uint64_t summoned_until_ms_ = 0;
  BudgetShare share_ ABSL_GUARDED_BY(lock);
  uint32_t slow_paths_ ABSL_GUARDED_BY(lock) = 0;
  uint64_t next_tick_ms_ ABSL_GUARDED_BY(lock) = 0;
  Bin bins_[kSizeClassEnd];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_THREAD_STATE_H_

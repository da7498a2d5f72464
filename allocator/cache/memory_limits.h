// SPDX-License-Identifier: Apache-2.0
//
// Memory limits: how much the heap may hold, by the options soft_limit and hard_limit and by the
// process's control groups, and what is given back when it comes to that.
//
// Beyond a soft limit, or close to one of a control group's, memory goes back in stages, each tried
// only if what the ones before it made free isn't enough: the calling thread's cache, the CPUs'
// lists, free pages, free parts inside spans. Beyond the hard limit the page heap refuses to grow;
// the slow path that meets this has all stages tried (MakeRoom) before it fails.
//
// Called by the runtime's maintenance, the background thread, and slow paths that were refused. The
// page heap watches for growth (PageHeap::SetLimits); nothing here is on the way of a program that
// doesn't grow. One lock, of the second rank; who finds it taken leaves the work to its holder.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_MEMORY_LIMITS_H_
#define SPANMALLOC_ALLOCATOR_CACHE_MEMORY_LIMITS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/cache/thread_state.h"
#include "allocator/central/per_cpu_central.h"
#include "allocator/heap/metadata_allocator.h"
#include "allocator/heap/node_heaps.h"
#include "allocator/heap/page_heap.h"
#include "allocator/heap/page_map.h"
#include "allocator/os/clock.h"
#include "allocator/os/group_memory.h"
#include "allocator/os/ranked_lock.h"

namespace spanmalloc {

// What becomes of the control groups' limits.
enum class GroupLimits : uint8_t {
  kIgnore,   // their files aren't read
  kReclaim,  // they are soft limits
  kRefuse,   // and memory.max is a hard one as well
};

// What one stage did, since the start.
struct ReclaimStage {
  uint64_t runs;
  uint64_t bytes;  // made free (the first two stages) or given back
};

struct MemoryLimitsStats {
  size_t soft;  // bytes; 0: none
  size_t hard;
  size_t group_max;  // of the groups that are closest to theirs, as last read
  size_t group_high;
  size_t group_usage;
  size_t group_pressure;
  uint64_t readings;   // of the groups' files
  uint64_t passes;     // through the stages
  uint64_t fruitless;  // of them, those that gave back less than half of what was missing
  uint64_t pass_ns;    // the time they took
  ReclaimStage thread_caches;
  ReclaimStage central_lists;
  ReclaimStage pages;
  ReclaimStage spans;
  uint64_t refusals;  // requests that failed for the hard limit
};

class MemoryLimits {
 public:
  constexpr MemoryLimits(NodeHeaps& page_heap, PerCpuCentral& central, MetadataAllocator& metadata,
                         PageMap& page_map, os::GroupMemory& groups, os::Clock& clock)
      : page_heap_(page_heap),
        central_(central),
        metadata_(metadata),
        page_map_(page_map),
        groups_(groups),
        clock_(clock) {}

  static constexpr uint64_t kNever = ~uint64_t{0};

  // Sets the limits in bytes, 0 for none, and what becomes of the groups'. Call once, first.
  void Start(size_t soft, size_t hard, GroupLimits groups) ABSL_LOCKS_EXCLUDED(lock_);

  // Changes a limit; what is beyond the soft one is given back at once, but for what thread caches
  // hold.
  void SetSoft(size_t bytes) ABSL_LOCKS_EXCLUDED(lock_);
  void SetHard(size_t bytes) ABSL_LOCKS_EXCLUDED(lock_);

  // Whether it is time for Check. Reads two variables.
  bool Due(uint64_t now_ms) const { return now_ms >= next_check_ms() || page_heap_.LimitNoticed(); }
  // When it will be if the heap doesn't grow.
  uint64_t next_check_ms() const { return next_check_ms_.load(std::memory_order_relaxed); }

  // Looks whether a soft limit is reached and gives back what is too much, a bounded amount and not
  // often. `own`: the calling thread's state, nullptr if it has none.
  void Check(uint64_t now_ms, ThreadState* own) ABSL_LOCKS_EXCLUDED(lock_);

  // Whether the page heap refuses spans of so many pages because of the hard limit.
  bool Refuses(size_t pages) { return pages <= kWindowPages && page_heap_.RefusesForLimit(pages); }

  // Tries all stages for that many pages, unless that can't help. Returns whether they fit now.
  bool MakeRoom(size_t pages, ThreadState* own) ABSL_LOCKS_EXCLUDED(lock_);

  // A request failed for the hard limit.
  void NoteRefusal() { refusals_.fetch_add(1, std::memory_order_relaxed); }

  MemoryLimitsStats Stats() ABSL_LOCKS_EXCLUDED(lock_);

  bool CheckInvariants() ABSL_LOCKS_EXCLUDED(lock_);

  // Also guards the object that reads the control groups, whoever else uses that.
  os::RankedLock& lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }

 private:
  // A heap below this doesn't ask for the groups' limits.
  static constexpr size_t kFirstReading = size_t{16} << 20;
  // A heap beyond the soft limit is looked at again when it has grown by a sixteenth, at least
  // this.
  static constexpr size_t kMinStep = size_t{1} << 20;
  // Time between checks: where no group has a limit; with one, or a limit of the program's; while
  // memory is missing, or nearly.
  static constexpr uint64_t kUnlimitedMs = 60'000;
  static constexpr uint64_t kFarMs = 10'000;
  static constexpr uint64_t kNearMs = 1'000;
  // Time between passes: doubles from the first figure, to the second while passes give back at
  // least half of what is missing, to the third while they don't; and is no less than so many times
  // what the last pass took.
  static constexpr uint64_t kMinPassMs = 100;
  static constexpr uint64_t kMaxFruitfulMs = 1'600;
  static constexpr uint64_t kMaxFruitlessMs = 12'800;
  static constexpr uint64_t kPassShare = 50;
  // Given back beyond what a soft limit asks for, at most.
  static constexpr size_t kMaxSlack = size_t{8} << 20;
  // Given back in one pass, at most; spans that a pass searches.
  static constexpr size_t kMaxPassBytes = size_t{64} << 20;
  static constexpr size_t kMaxPassSpans = 4096;
  // Some thread of the group waits for memory a tenth of the time.
  static constexpr uint32_t kHighPressure = 1'000;

  // Memory that is to go back.
  struct Missing {
    size_t bytes = 0;
    bool urgent = false;  // a group is close to its limit
  };

  size_t OverheadBytes();
  size_t HeldBytes();
  size_t HeldAt(size_t limit);
  void ReadGroups(uint64_t now_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Missing FindMissing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  bool CannotWait(const Missing& missing) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t Pass(size_t bytes, size_t spans, ThreadState* own) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void PassAndPlan(size_t bytes, uint64_t now_ms, ThreadState* own)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t ReleasePages(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  ALLOC_SLOW_PATH void StartWatching() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Watch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t HiddenBytes() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t NoticeBytes() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  size_t RefuseBytes() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  uint64_t NextCheck(const Missing& missing, uint64_t now_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void ApplyNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  NodeHeaps& page_heap_;
  PerCpuCentral& central_;
  MetadataAllocator& metadata_;
  PageMap& page_map_;
  os::GroupMemory& groups_;
  os::Clock& clock_;
  os::RankedLock lock_{LockRank::kMemoryLimits};
  size_t soft_ ABSL_GUARDED_BY(lock_) = 0;
  size_t hard_ ABSL_GUARDED_BY(lock_) = 0;
  GroupLimits use_ ABSL_GUARDED_BY(lock_) = GroupLimits::kIgnore;
  os::GroupMemoryReading reading_ ABSL_GUARDED_BY(lock_);
  size_t held_at_reading_ ABSL_GUARDED_BY(lock_) = 0;    // bytes
  uint64_t next_reading_ms_ ABSL_GUARDED_BY(lock_) = 0;  // where no group has a limit
  size_t held_at_pass_ ABSL_GUARDED_BY(lock_) = 0;       // bytes, when the last one ended
  uint64_t next_pass_ms_ ABSL_GUARDED_BY(lock_) = 0;
  uint64_t pass_interval_ms_ ABSL_GUARDED_BY(lock_) = kMinPassMs;
  MemoryLimitsStats totals_ ABSL_GUARDED_BY(lock_) = {};
  std::atomic<uint64_t> next_check_ms_{kNever};
  std::atomic<uint64_t> refusals_{0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_MEMORY_LIMITS_H_

// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/runtime.h"

#include "allocator/api/block_filling.h"
#include "allocator/api/call_hooks.h"
#include "allocator/api/control_instance.h"
#include "allocator/api/fork_handlers.h"
#include "allocator/api/slow_path.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/api/stats_dumps.h"
#include "allocator/os/current_cpu.h"
#include "allocator/os/process.h"
#include "allocator/os/raw_output.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/telemetry/corruption_report.h"
#include "allocator/util/sharing_counts.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {

constinit ThreadCache empty_cache;
constinit thread_local ThreadLocals thread_locals = {&empty_cache, nullptr, 0, false,  false,
                                                     true,         {},      0, nullptr};
constinit RuntimeTables runtime_tables;
constinit Runtime runtime{&ReportBadPointer, runtime_tables};

namespace {

// A process whose address space is limited to less than this gets tables for no more than that.
constexpr size_t kSmallAddressSpace = size_t{16} << 30;

// The budget of all thread caches: per CPU, and its bounds.
constexpr int64_t kCacheBytesPerCpu = int64_t{8} << 20;
constexpr int64_t kMinCacheBytes = int64_t{16} << 20;
constexpr int64_t kMaxCacheBytes = int64_t{64} << 20;

int64_t CacheBytes() {
  if (options.thread_cache_bytes != 0) return static_cast<int64_t>(options.thread_cache_bytes);
  const int64_t bytes = kCacheBytesPerCpu * os::UsableCpus();
  return bytes < kMinCacheBytes ? kMinCacheBytes : bytes > kMaxCacheBytes ? kMaxCacheBytes : bytes;
}

void OnThreadExit(void*) {
  SlowPathScope scope;
  runtime.BindThread(0);
  runtime.EndThread();
  runtime.EndCounting();
}

void RunBackgroundThread() {
  thread_locals.ended = true;  // it gets no cache
  runtime.background.idle_caches().Begin();
  for (;;) {
    uint64_t sleep_ms = 0;
    {
      SlowPathScope scope;
      if (!runtime.background.Step(&sleep_ms)) return;
    }
    runtime.background.Sleep(sleep_ms);
  }
}

}  // namespace

bool Runtime::Load() {
  const size_t limit = os::AddressSpaceLimit();
  window = limit < kSmallAddressSpace ? RoundUp(limit, kHugePageSize) + kHugePageSize : kWindowSize;
  if (!page_map.Init(window)) return false;
  LoadControl();
  thread_exit.Create(&OnThreadExit);
  RegisterForkHandlers();
  return true;
}

// The heap starts at a random huge page. Blocks of 4 TiB from 2^44 on have the heap's address bit;
// within a block the first tebibyte is taken, because there the heap shares no page index with
// the stack, the libraries or the program, wherever the kernel has put them. A process may contain
// the allocator several times, under different prefixes; their heaps lie in different places.
bool Runtime::PlaceHeap() {
  const uint64_t copy = reinterpret_cast<uintptr_t>(this) / kCacheLine;
  const uint64_t random = os::ProcessRandom() ^ (copy * 0x9e3779b97f4a7c15);
  const uintptr_t block = (uintptr_t{1} << kHeapAddressBit) + (random % 4) * kWindowSize;
  if (window != kWindowSize) return page_heap.Init(block + kHugePageSize, block + window);
  const size_t offset = (1 + (random >> 2) % ((size_t{1} << 40) / kHugePageSize)) * kHugePageSize;
  const uint32_t node_count = options.numa ? page_heap.nodes().Count(files, os::MemoryNodes()) : 1;
  if (page_heap.Init(block + offset, block + kWindowSize, node_count)) return true;
  // A kernel with 39-bit addresses.
  return page_heap.Init(uintptr_t{1} << 37, uintptr_t{1} << 39);
}

bool Runtime::AdvanceTo(int goal) {
  int reached = kNotLoaded;
  // Acquire: pairs with the release below, of a thread that got here first.
  while (!state.compare_exchange_strong(reached, kBusy, std::memory_order_acquire)) {
    if (reached >= goal) return true;
    if (reached != kBusy) continue;
    reached = kNotLoaded;
    os::Yield();
  }
  if (reached == kNotLoaded && Load()) reached = kLoaded;
  if (reached == kLoaded && goal == kReady && PlaceHeap()) {
    os::DetectCpuNumberSource();
    budget.Init(CacheBytes());
    if (options.thread_caches_per_cpu != 0) {
      registry.SetOwnStates(options.thread_caches_per_cpu * os::UsableCpus());
    }
    // Of a quota nothing is known yet. (And with this write only a page of the shards' table
    // becomes resident; a read would map all of the library's data.)
    central.LimitShards(os::CpuQuota::kUnlimited);
    if (!options.cpu_quota) cpu_limit.Disable();
    background.SetEnabled(options.background_thread);
    background.idle_caches().SetWanted(options.idle_caches);
    if (options.count_requests) counts.SetAll(true);
    StartControl();
    reached = kReady;
  }
  // Release: pairs with the acquires above and in EnsureInitialized.
  state.store(reached, std::memory_order_release);
  return reached == goal;
}

ThreadState* Runtime::ThreadStateOrNull() {
  ThreadState* own = thread_locals.state;
  if (ABSL_PREDICT_TRUE(own != nullptr)) {
    registry.AdoptOrphans();
    own->UseCache();
    return ABSL_PREDICT_FALSE(registry.TakesTurns()) && GivesUpCache() ? nullptr : own;
  }
  return thread_locals.ended || !options.tcache || FillsBlocks() ? nullptr : MakeThreadState();
}

// Whether the calling thread, which has no cache, is to use its CPU's.
bool Runtime::DecideSharing() {
  bool stays = false;
  if (thread_locals.shares) {
    thread_locals.turns.NoteSlowPath(registry.cpu_caches().ComesAgain(&thread_locals));
    stays = registry.TakesTurns() && !thread_locals.turns.IsLong();
  }
  const bool wanted = (stays || registry.Crowded()) && !HidesCache() && thread_exit.created();
  if (wanted == thread_locals.shares) return wanted;
  if (!wanted) {
    EndSharing();
  } else if (registry.BeginSharing()) {
    thread_exit.Arm(this);
    thread_locals.shares = true;
  }
  return thread_locals.shares;
}

// In a process of many threads: the calling thread, if it comes in short turns, returns its cache
// and shares its CPU's from now on. Returns whether it does.
bool Runtime::GivesUpCache() {
  ThreadState* own = thread_locals.state;
  if (HidesCache() || own->of_arena != nullptr || !thread_exit.created() ||
      !registry.cpu_caches().Prepare()) {
    return false;
  }
  thread_locals.turns.NoteSlowPath(registry.cpu_caches().ComesAgain(&thread_locals));
  if (!thread_locals.turns.AreShort() || !registry.BeginSharing()) return false;
  thread_locals.shares = true;
  thread_locals.state = nullptr;
  EndGrowth(own);
  registry.Destroy(own);
  return true;
}

void Runtime::EndSharing() {
  if (thread_locals.shares) registry.EndSharing();
  thread_locals.shares = false;
}

ThreadState* Runtime::MakeThreadState() {
  if (DecideSharing()) return nullptr;
  // Of a thread whose end nobody would tell, the variables may be gone one day.
  ThreadState* own = registry.Create(thread_exit.created() ? &thread_locals : nullptr);
  if (own == nullptr) return nullptr;
  thread_locals.state = own;
  if (HidesCache()) own->SetHidden(true);
  thread_exit.Arm(own);
  if (registry.threads() > 1) cpu_limit.Follow(clock.NowMs(), registry.threads(), limits.lock());
  return own;
}

void Runtime::HideOrShowCache() {
  if (HidesCache()) EndSharing();
  ThreadState* own = thread_locals.state;
  if (own == nullptr) return;
  own->SetHidden(HidesCache());
  if (own->of_arena != nullptr) own->of_arena->SetHidden(Counts());
}

ThreadState* Runtime::HeldArenaState(unsigned arena) {
  const ThreadState* own = thread_locals.state;
  ThreadState* of_arena = own == nullptr ? nullptr : own->of_arena;
  if (of_arena == nullptr || of_arena->arena() != arena) return nullptr;
  registry.AdoptOrphans();
  of_arena->UseCache();
  return of_arena;
}

ThreadState* Runtime::ArenaStateOrNull(unsigned arena) {
  ThreadState* of_arena = HeldArenaState(arena);
  if (ABSL_PREDICT_TRUE(of_arena != nullptr)) return of_arena;
  return arena == thread_locals.arena || NoteNamed(arena) ? MakeArenaState(arena) : nullptr;
}

// The calling thread names an arena of which it has no cache. Returns whether it is to get one.
bool Runtime::NoteNamed(unsigned arena) {
  ThreadState* own = thread_locals.arena == 0 ? ThreadStateOrNull() : nullptr;
  return own != nullptr && own->NoteNamed(arena) >= kNamedToCache;
}

ThreadState* Runtime::MakeArenaState(unsigned arena) {
  ThreadState* own = ThreadStateOrNull();
  if (own == nullptr || !arenas.Exists(arena)) return nullptr;
  EndArenaState();
  own->of_arena = registry.CreateFor(arena, thread_exit.created() ? &thread_locals : nullptr);
  HideOrShowCache();
  return own->of_arena;
}

// The calling thread caches nothing of an arena any more.
void Runtime::EndArenaState() {
  ThreadState* own = thread_locals.state;
  if (own == nullptr || own->of_arena == nullptr) return;
  ThreadState* of_arena = own->of_arena;
  own->of_arena = nullptr;
  registry.Destroy(of_arena);
}

void Runtime::EndThread() {
  EndArenaState();
  ThreadState* own = thread_locals.state;
  thread_locals.state = nullptr;
  thread_locals.ended = true;
  if (own == nullptr && !thread_locals.shares) return;
  EndSharing();
  if (own != nullptr) {
    EndGrowth(own);
    registry.Destroy(own);
  }
  EndCountedThread();
  background.NoteThreadEnded();
}

bool Runtime::BindThread(unsigned arena) {
  const unsigned old = thread_locals.arena;
  if (arena == old) return true;
  if (arena != 0 && !arenas.Bind(arena)) return false;
  // Somebody must tell of the thread's end, if it has no state.
  if (arena != 0) thread_exit.Arm(this);
  if (HeldArenaState(arena) == nullptr) EndArenaState();
  if (old != 0) arenas.Unbind(old);
  thread_locals.arena = static_cast<uint16_t>(arena);
  HideOrShowCache();
  return true;
}

bool Runtime::SetCounting(bool counting) {
  counting = counting || WantsCallHooks();
  if (counting && thread_locals.counts == nullptr) {
    thread_locals.counts = counts.Acquire(metadata);
    if (thread_locals.counts == nullptr) return false;
    thread_exit.Arm(this);
  }
  RelaxedStore(thread_locals.counting, counting);
  HideOrShowCache();
  return true;
}

ThreadCounts* Runtime::DecideCounting() {
  thread_locals.counting = counts.all() && !thread_locals.ended && SetCounting(true);
  return thread_locals.counts;
}

void Runtime::EndCounting() {
  ThreadCounts* own = thread_locals.counts;
  RelaxedStore(thread_locals.counting, false);
  thread_locals.counts = nullptr;
  if (own != nullptr) counts.Release(own);
}

void Runtime::EndGrowth(ThreadState* own) {
  if (own->growing.reserves) page_heap.ReturnReserve(own->growing.block, own);
  own->growing = GrowingBlock();
}

void Runtime::MaintainFirst(uint64_t slow_paths) {
  CountEvent(CountedEvent::kMaintenanceWrite);
  const bool grown = page_heap.HasGrown();
  if (slow_paths + 1 < kUntimed && !grown) {
    maintenance.SetNext(slow_paths + 1);
    return;
  }
  const uint64_t now = clock.NowMs();
  maintenance.SetNext(now + kMaintenanceMs);
  if (grown) MaintainNow(now);
}

void Runtime::MaintainNow(uint64_t now) {
  const bool limits_due = limits.Due(now);
  bool due = false;
  // Where there are many CPUs, or few for many threads, it may take longer than it is to the next.
  if (maintenance.Begin()) {
    const bool much = page_heap.HasGrown() && PayForGrowth(now);
    due = much || limits_due || maintenance.IsDue(now);
    if (due) GiveBackInPassing(now, much);
    maintenance.End();
  }
  if (limits_due) FollowLimits(now);
  SummonIfAlone(now);
  if (!due) return;
  cpu_limit.Follow(now, registry.threads(), limits.lock());
  background.NoteActivity();
  if (ABSL_PREDICT_FALSE(options.stats_interval >= 0) && StatsIntervalIsOver()) {
    OutsideSlowPath outside;
    DumpStatsOfInterval();
  }
}

void Runtime::GiveBackInPassing(uint64_t now, bool much) {
  CountEvent(CountedEvent::kMaintenanceWrite);
  const uint64_t last = maintenance.next_ms() - kMaintenanceMs;
  maintenance.SetNext(now + kMaintenanceMs);
  const bool idle = much || now >= next_idle_ms.load(std::memory_order_relaxed);
  if (idle) {
    page_heap.NoteIdleReturned();
    if (ThreadState* own = thread_locals.state) {
      EndGrowth(own);
      own->ReturnIdle();
    }
    registry.ReturnIdle();
    central.ReturnIdle();
  }
  if (now >= next_span_release_ms.load(std::memory_order_relaxed)) EndSpanPeriod(now);
  page_heap.ReleaseExcess(now);
  if (HasRested(now - last)) ReleaseUnused();
  const uint64_t end = clock.NowMs();
  if (idle) next_idle_ms.store(end + kIdleMs, std::memory_order_relaxed);
  maintenance.SetNext(end + kMaintenanceMs);
}

// Whether a thread that is to give back what it freed comes after having been idle for `ms`, for as
// long as the background thread waits then.
bool Runtime::HasRested(uint64_t ms) {
  const ThreadState* own = thread_locals.state;
  if (own == nullptr || !own->summoned()) return false;
  const int64_t decay = page_heap.DecayMs();
  return decay > 0 && ms >= static_cast<uint64_t>(decay) / 2;
}

void Runtime::ReleaseUnused() {
  registry.ReturnKept();
  central.Drain();
  central.ReleaseAll();
  page_heap.ReleaseUnused();
}

// Where the heap grew beyond all that it ever held, what no class wanted of late goes back for it.
// Returns whether it has grown much.
bool Runtime::PayForGrowth(uint64_t now) {
  const HeapGrowth growth = page_heap.TakeGrowth();
  if (growth.pages == 0 || page_heap.DecayMs() < 0) return growth.much;
  if (now >= next_span_tick_ms.load(std::memory_order_relaxed)) {
    next_span_tick_ms.store(now + kSpanTickMs, std::memory_order_relaxed);
    central.TickSpans();
  }
  central.ReleaseIdleSinceTick(kPaidForGrowth * growth.pages * kPageSize);
  return growth.much;
}

void Runtime::FollowLimits(uint64_t now) {
  ThreadState* own = thread_locals.state;
  if (own != nullptr) EndGrowth(own);
  limits.Check(now, own);
}

// What no class wanted for as long as free pages are kept goes back, a little at a time.
void Runtime::EndSpanPeriod(uint64_t now) {
  const int64_t decay = page_heap.DecayMs();
  const bool first = next_span_release_ms.load(std::memory_order_relaxed) == 0;
  // The background thread may have brought it to its end.
  const bool ended = in_span_pass.load(std::memory_order_relaxed) && !central.InPass();
  const bool done = first || decay < 0 || ended || central.ReleaseIdleSincePeriod();
  in_span_pass.store(!done, std::memory_order_relaxed);
  const auto period = static_cast<uint64_t>(decay > 0 && done ? decay : 0);
  next_span_release_ms.store(now + period, std::memory_order_relaxed);
}

// Without a background thread the calling one must come by again for what is to go back.
void Runtime::SummonIfAlone(uint64_t now) {
  ThreadState* own = thread_locals.state;
  if (own == nullptr) return;
  if (background.running()) return own->EndSummons();
  const size_t pages = page_heap.DecayingPages();
  uint64_t until = 0;
  if (pages != 0) {
    until = now + kSummonedPeriods * static_cast<uint64_t>(page_heap.DecayMs());
  } else if (in_span_pass.load(std::memory_order_relaxed)) {
    until = now + kIdleMs;  // until its end; the next one begins later
  }
  own->Summon(pages, now, until);
}

void Runtime::StartBackground() {
  // Not in a signal handler, or a callee, of a slow path.
  if (thread_locals.depth != 0) return;
  if (background.Claim() && !os::StartThread(&RunBackgroundThread)) background.NoteRefused();
}

bool Runtime::ReclaimForRetry(size_t pages, size_t alignment) {
  if (!page_heap.HasAddressesFor(pages, alignment)) return false;
  ThreadState* own = thread_locals.state;
  if (own != nullptr) EndGrowth(own);
  registry.ReturnKept();
  registry.cpu_caches().ReturnAll();
  if (limits.Refuses(pages)) return limits.MakeRoom(pages, own);
  if (own != nullptr) own->FlushAll();
  central.Drain();
  return page_heap.ReclaimForRetry();
}

void Runtime::NoteFailure(size_t size, size_t pages) {
  if (!limits.Refuses(pages)) return;
  limits.NoteRefusal();
  if (!options.hard_limit_abort) return;
  char storage[128];
  TextBuffer line(storage, sizeof(storage));
  line << "spanmalloc: hard limit: request of " << uint64_t{size}
       << " bytes refused, and nothing is left to give back\n";
  os::DieWith(line.text());
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/hooked_memory.h"

#include "allocator/heap/node_heaps.h"
#include "allocator/os/clock.h"
#include "allocator/os/raw_output.h"
#include "allocator/os/thread.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

uintptr_t AddressOf(const void* memory) { return reinterpret_cast<uintptr_t>(memory); }

}  // namespace

// The calling thread may call hooks until Leave. Those who come while a fork is under way wait for
// its end; it has waited for those who came before.
void HookedMemory::Enlist() {
  in_hooks_.fetch_add(1);
  while (heaps_.HoldsHooks()) {
    Leave();
    while (heaps_.HoldsHooks()) os::Yield();
    in_hooks_.fetch_add(1);
  }
}

bool HookedMemory::TakeTurn(Wait wait) {
  if (!has_turn_.exchange(true)) return true;
  if (wait == Wait::kNo) return false;
  const uint64_t end = os::MonotonicNs() + kPatienceNs;
  while (has_turn_.exchange(true)) {
    if (os::MonotonicNs() > end) return false;
    os::Yield();
  }
  return true;
}

bool HookedMemory::Begin(Wait wait) {
  // In a hook of its own the turn would never come.
  if (wait == Wait::kYes && !Call([] {})) return false;
  Enlist();
  if (closed_.load() == 0 && TakeTurn(wait)) return true;
  Leave();
  return false;
}

void HookedMemory::End() {
  has_turn_.store(false);
  Leave();
}

template <typename Hook>
bool HookedMemory::Call(Hook hook) {
  return heaps_.RunHook(arena_, [](void* argument) { (*static_cast<Hook*>(argument))(); }, &hook);
}

bool HookedMemory::IsDue(uint64_t now_ms) {
  if (hooks() == nullptr || now_ms < next_ms_.load(std::memory_order_relaxed)) return false;
  next_ms_.store(now_ms + kIntervalMs, std::memory_order_relaxed);
  return true;
}

void HookedMemory::TellLie(const char* what, const void* memory) const {
  char storage[192];
  TextBuffer line(storage, sizeof(storage));
  line << "spanmalloc: extent hooks of arena " << uint64_t{arena_} << ": alloc returned " << memory
       << ", " << what << "; the memory isn't used\n";
  os::WriteToStderr(line.text());
}

bool HookedMemory::Dalloc(void* memory, size_t size, bool committed) {
  ExtentHooks* own = hooks();
  bool refused = true;
  if (own->dalloc != nullptr) {
    Call([&] { refused = own->dalloc(own, memory, size, committed, arena_); });
  }
  return !refused;
}

bool HookedMemory::Decommit(void* memory, size_t size) {
  ExtentHooks* own = hooks();
  bool refused = true;
  if (own->decommit != nullptr) {
    Call([&] { refused = own->decommit(own, memory, size, 0, size, arena_); });
  }
  return !refused;
}

bool HookedMemory::CommitAll(void* memory, size_t size) {
  ExtentHooks* own = hooks();
  bool refused = true;
  if (own->commit != nullptr) {
    Call([&] { refused = own->commit(own, memory, size, 0, size, arena_); });
  }
  return !refused;
}

void HookedMemory::Destroy(void* memory, size_t size, bool committed) {
  ExtentHooks* own = hooks();
  if (own->destroy == nullptr) return;
  Call([&] { own->destroy(own, memory, size, committed, arena_); });
}

void HookedMemory::GiveBack(void* memory, size_t size, bool committed) {
  if (!Dalloc(memory, size, committed)) Destroy(memory, size, committed);
}

// Whether memory from alloc can be used; what can't was given back, unless it is a block's already.
bool HookedMemory::Admit(void* memory, size_t size, size_t alignment, bool committed) {
  const uintptr_t start = AddressOf(memory);
  const size_t count = size >> kHugePageShift;
  ForeignMap& foreign = *page_map_.foreign();
  if (foreign.ContainsAny(start, start % kHugePageSize == 0 ? count : count + 1)) {
    TellLie("memory that was returned before and is in use", memory);
    return false;
  }
  if (start % alignment != 0) {
    TellLie("which isn't aligned as it was asked to", memory);
  } else if (ForeignMap::CanHold(start, count)) {
    if (heaps_.ClaimForeign(start, count)) {
      if (committed || CommitAll(memory, size)) return true;
      foreign.Clear(HugePageIndex(start), count);
    }
  }
  heaps_.NoteRefusedExtent();
  GiveBack(memory, size, committed);
  return false;
}

// Enters an extent in the heap and among those of the arena, as other threads may do meanwhile.
void HookedMemory::Enter(PageHeap& heap, const HugeRun& run) {
  const size_t end = run.index + run.count;
  size_t known = begin_.load(std::memory_order_relaxed);
  while (run.index < known &&
         !begin_.compare_exchange_weak(known, run.index, std::memory_order_relaxed)) {
  }
  known = end_.load(std::memory_order_relaxed);
  while (end > known && !end_.compare_exchange_weak(known, end, std::memory_order_relaxed)) {
  }
  heaps_.NoteOwner(run, arena_);
  heap.EnterForeign(run);
}

bool HookedMemory::Provide(PageHeap& heap, size_t count, size_t alignment) {
  if (!provides()) return false;
  if (alignment < kHugePageSize) alignment = kHugePageSize;
  Enlist();
  const bool done = closed_.load() == 0 &&
                    (Recommit(heap, count, alignment) || JoinForRoom(heap, count, alignment) ||
                     GetExtent(heap, count, alignment));
  Leave();
  return done;
}

// A new extent, with its places in the page map; nullptr if the hooks give none that can be used.
void* HookedMemory::AskForExtent(size_t size, size_t alignment, bool* zero) {
  ExtentHooks* own = hooks();
  void* memory = nullptr;
  bool commit = true;
  Call([&] { memory = own->alloc(own, nullptr, size, alignment, zero, &commit, arena_); });
  return memory != nullptr && Admit(memory, size, alignment, commit) ? memory : nullptr;
}

bool HookedMemory::CanProvide() {
  if (!provides()) return true;
  Enlist();
  bool zero = false;
  void* memory = closed_.load() == 0 ? AskForExtent(kHugePageSize, kHugePageSize, &zero) : nullptr;
  if (memory != nullptr) {
    page_map_.foreign()->Clear(HugePageIndex(AddressOf(memory)), 1);
    GiveBack(memory, kHugePageSize, /*committed=*/true);
  }
  Leave();
  return memory != nullptr;
}

bool HookedMemory::GetExtent(PageHeap& heap, size_t count, size_t alignment) {
  bool zero = false;
  void* memory = AskForExtent(count << kHugePageShift, alignment, &zero);
  if (memory == nullptr) return false;
  Enter(heap, {.index = HugePageIndex(AddressOf(memory)), .count = count, .dirty = !zero});
  return true;
}

// Takes an extent whose memory was decommitted.
bool HookedMemory::Recommit(PageHeap& heap, size_t count, size_t alignment) {
  ForeignMap& foreign = *page_map_.foreign();
  const size_t end = end_.load(std::memory_order_relaxed);
  for (size_t i = begin_.load(std::memory_order_relaxed); i < end; ++i) {
    const auto serves = [&] {
      return heaps_.IsOwner(i, arena_) && foreign.AddressOf(i) % alignment == 0 &&
             foreign.EndOf(i) - i >= count;
    };
    if (!foreign.IsDecommitted(i) || !serves() || !foreign.TakeDecommitted(i)) continue;
    // Another thread may have had it since, or part of it. It is this one's now.
    if (!serves()) {
      foreign.SetDecommitted(i);
      continue;
    }
    const HugeRun run = {.index = i, .count = foreign.EndOf(i) - i};
    if (!CommitAll(reinterpret_cast<void*>(foreign.AddressOf(i)), run.count << kHugePageShift)) {
      foreign.SetDecommitted(i);
      return false;
    }
    Enter(heap, run);
    return true;
  }
  return false;
}

// Has the extents on both sides of huge page `at` merged. Whether that was done.
bool HookedMemory::Merge(size_t at, bool committed) {
  ForeignMap& foreign = *page_map_.foreign();
  ExtentHooks* own = hooks();
  if (own->merge == nullptr) return false;
  const ForeignMap::Extent a = foreign.ExtentAt(at - 1);
  const ForeignMap::Extent b = foreign.ExtentAt(at);
  bool refused = true;
  Call([&] {
    refused = own->merge(own, reinterpret_cast<void*>(foreign.AddressOf(a.index)),
                         a.count << kHugePageShift, reinterpret_cast<void*>(foreign.AddressOf(at)),
                         b.count << kHugePageShift, committed, arena_);
  });
  if (!refused) foreign.Join(at);
  return !refused;
}

// Makes huge pages [index, index + count), which adjoin each other, parts of one extent. Returns
// the end of those that are.
size_t HookedMemory::Join(size_t index, size_t count) {
  const ForeignMap& foreign = *page_map_.foreign();
  for (size_t i = index + 1; i < index + count; ++i) {
    if (foreign.Starts(i) && !Merge(i, /*committed=*/true)) return i;
  }
  return index + count;
}

// Looks for so many free huge pages in a row, of several extents, and joins those.
bool HookedMemory::JoinFree(PageHeap& heap, size_t count, size_t alignment) {
  size_t from = 0;
  for (int declined = 0; declined < kMaxDeclined; ++declined) {
    const size_t index = heap.FindAdjoining(from, count, alignment >> kHugePageShift);
    if (index == kWindowHugePages) return false;
    from = Join(index, count);
    if (from == index + count) return true;
  }
  return false;
}

// Joins the decommitted extent that begins at `index`, which the caller took, with those behind it
// until it has `count` huge pages. Returns how many it has; counts in `*declined` if that was why.
size_t HookedMemory::JoinFrom(size_t index, size_t count, int* declined) {
  ForeignMap& foreign = *page_map_.foreign();
  size_t held = foreign.ExtentAt(index).count;
  while (held < count) {
    const size_t next = index + held;
    if (next >= kWindowHugePages || !foreign.Adjoins(next) || !foreign.IsDecommitted(next) ||
        !heaps_.IsOwner(next, arena_) || !foreign.TakeDecommitted(next)) {
      break;
    }
    const size_t more = foreign.ExtentAt(next).count;
    if (!Merge(next, /*committed=*/false)) {
      foreign.SetDecommitted(next);
      ++*declined;
      break;
    }
    held += more;
  }
  return held;
}

// The same for extents whose memory was decommitted.
bool HookedMemory::JoinDecommitted(size_t count) {
  ForeignMap& foreign = *page_map_.foreign();
  const size_t end = end_.load(std::memory_order_relaxed);
  int declined = 0;
  for (size_t i = begin_.load(std::memory_order_relaxed); i < end && declined < kMaxDeclined; ++i) {
    if (!foreign.IsDecommitted(i) || !heaps_.IsOwner(i, arena_) ||
        foreign.ExtentAt(i).count >= count || !foreign.TakeDecommitted(i)) {
      continue;
    }
    const size_t held = JoinFrom(i, count, &declined);
    foreign.SetDecommitted(i);
    if (held >= count) return true;
    i += held - 1;
  }
  return false;
}

// Makes room for `count` huge pages out of extents that are too short one by one.
bool HookedMemory::JoinForRoom(PageHeap& heap, size_t count, size_t alignment) {
  if (count == 1 || hooks()->merge == nullptr || !TakeTurn(Wait::kNo)) return false;
  const bool done = JoinFree(heap, count, alignment) ||
                    (JoinDecommitted(count) && Recommit(heap, count, alignment));
  has_turn_.store(false);
  return done;
}

bool HookedMemory::JoinBehind(PageHeap& heap, size_t index, size_t count) {
  if (!provides() || hooks()->merge == nullptr) return false;
  const Turn turn(*this, Wait::kNo);
  return turn.taken() && heap.AdjoinsFree(index, count) &&
         Join(index - 1, count + 1) == index + count;
}

// Makes a run that is part of an extent one of its own. False if there is no leave to do so.
bool HookedMemory::CutOut(const HugeRun& run) {
  ForeignMap& foreign = *page_map_.foreign();
  const ForeignMap::Extent whole = foreign.ExtentAt(run.index);
  ExtentHooks* own = hooks();
  const auto split = [&](size_t first, size_t at, size_t end) {
    bool refused = true;
    Call([&] {
      refused = own->split(own, reinterpret_cast<void*>(foreign.AddressOf(first)),
                           (end - first) << kHugePageShift, (at - first) << kHugePageShift,
                           (end - at) << kHugePageShift, /*committed=*/true, arena_);
    });
    if (!refused) foreign.Split(at);
    return !refused;
  };
  const size_t whole_end = whole.index + whole.count;
  const size_t end = run.index + run.count;
  if (run.index == whole.index && end == whole_end) return true;
  if (own->split == nullptr) return false;
  if (run.index != whole.index && !split(whole.index, run.index, whole_end)) return false;
  return end == whole_end || split(run.index, end, whole_end);
}

// Offers an extent, which the caller took from the heap, to dalloc, then to decommit. Returns
// whether either took it.
bool HookedMemory::Offer(PageHeap& heap, const HugeRun& run) {
  ForeignMap& foreign = *page_map_.foreign();
  const uintptr_t start = foreign.AddressOf(run.index);
  void* memory = reinterpret_cast<void*>(start);
  const size_t size = run.count << kHugePageShift;
  // Forgotten before: once the hook has it, it may give it to another arena.
  heaps_.NoteOwner(run, 0);
  foreign.Clear(run.index, run.count);
  if (Dalloc(memory, size, /*committed=*/true)) return true;
  if (!heaps_.ClaimForeign(start, run.count)) {
    Destroy(memory, size, /*committed=*/true);
    return true;
  }
  if (!Decommit(memory, size)) {
    foreign.SetKept(run.index);
    Enter(heap, run);
    return false;
  }
  heaps_.NoteOwner(run, arena_);
  foreign.SetDecommitted(run.index);
  return true;
}

size_t HookedMemory::Return(PageHeap& heap, size_t pages, Wait wait) {
  if (hooks() == nullptr || pages == 0) return 0;
  const Turn turn(*this, wait);
  if (!turn.taken()) return 0;
  if (pages > kWindowPages) pages = kWindowPages;
  size_t returned = 0;
  for (size_t cursor = 0; returned < pages;) {
    const HugeRun run = heap.TakeForeign(&cursor, ForeignPart::kAny);
    if (run.count == 0) break;
    if (!CutOut(run)) {
      Enter(heap, run);
    } else if (Offer(heap, run)) {
      returned += run.count * kPagesPerHugePage;
    }
  }
  if (returned < pages) returned += heap.Release(pages - returned);
  return returned;
}

// Those who come later than this see it, and those who came before are seen.
bool HookedMemory::Close() {
  if (hooks() != nullptr && !Call([] {})) return false;
  closed_.fetch_add(1);
  while (in_hooks_.load() != 0) os::Yield();
  return true;
}

void HookedMemory::ReturnAll(PageHeap& heap) {
  if (hooks() == nullptr) return;
  Enlist();
  ForeignMap& foreign = *page_map_.foreign();
  for (size_t cursor = 0;;) {
    const HugeRun run = heap.TakeForeign(&cursor, ForeignPart::kAll);
    if (run.count == 0) break;
    void* memory = reinterpret_cast<void*>(foreign.AddressOf(run.index));
    heaps_.NoteOwner(run, 0);
    foreign.Clear(run.index, run.count);
    GiveBack(memory, run.count << kHugePageShift, /*committed=*/true);
  }
  const size_t end = end_.load(std::memory_order_relaxed);
  for (size_t i = begin_.load(std::memory_order_relaxed); i < end; ++i) {
    if (!foreign.IsDecommitted(i) || !heaps_.IsOwner(i, arena_)) continue;
    const size_t count = foreign.ExtentAt(i).count;
    void* memory = reinterpret_cast<void*>(foreign.AddressOf(i));
    heaps_.NoteOwner({.index = i, .count = count}, 0);
    foreign.Clear(i, count);
    Destroy(memory, count << kHugePageShift, /*committed=*/false);
  }
  Leave();
}

void HookedMemory::BeginAnew() {
  SetHooks(nullptr);
  Open();
  cleans_.store(true, std::memory_order_relaxed);
  begin_.store(kWindowHugePages, std::memory_order_relaxed);
  end_.store(0, std::memory_order_relaxed);
}

// Gives the memory of pages of an extent back that nobody uses.
bool HookedMemory::Purge(void* address, size_t size) {
  const ForeignMap& foreign = *page_map_.foreign();
  const ForeignMap::Extent extent = foreign.ExtentAt(HugePageIndex(AddressOf(address)));
  const uintptr_t start = foreign.AddressOf(extent.index);
  ExtentHooks* own = hooks();
  const auto purged = [&](auto purge) {
    bool refused = true;
    if (purge != nullptr) {
      Call([&] {
        refused = purge(own, reinterpret_cast<void*>(start), extent.count << kHugePageShift,
                        AddressOf(address) - start, size, arena_);
      });
    }
    return !refused;
  };
  if (purged(own->purge_forced)) return true;
  if (!purged(own->purge_lazy)) return false;
  cleans_.store(false, std::memory_order_relaxed);
  return true;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/page_heap.h"

namespace spanmalloc {
namespace {

// Runs shorter than this inside a huge page aren't worth a system call of their own: 64 KiB.
constexpr size_t kMinReleaseRun = 8;

// Huge pages released under one madvise, at most: 64 MiB.
constexpr size_t kMaxReleaseBatch = 32;

// A freed block of this many huge pages or more goes back to the kernel at once: 32 MiB.
constexpr size_t kReleaseAtOnce = 16;

// Free resident pages in runs too short that are borne when the heap grows, beside a share of it.
constexpr size_t kBearableDirtyPages = 320;

// Such runs released at one growth, by as many madvise calls: what a single allocation waits for.
constexpr size_t kMaxReleasesAtGrowth = 32;

// Between two releases of such runs.
constexpr uint64_t kGrowthReleaseMs = 100;

// A span that is expected to grow gets room for this many times its pages.
constexpr size_t kReserveFactor = 16;

}  // namespace

bool PageHeap::Init(uintptr_t base, uintptr_t limit) {
  os::LockHolder hold(lock_);
  // Zero as it comes; constructing it would touch all of it.
  if (pool_maps_ == nullptr) {
    pool_maps_ = static_cast<HugePagePool::Maps*>(memory_.Map(sizeof(HugePagePool::Maps)));
  }
  if (pool_maps_ == nullptr) return false;
  pool_.Init(base, limit, pool_maps_);
  // The first huge page is for small objects, which every program has.
  return CutHugePage(SpanKind::kShared) != nullptr;
}

HugePage* PageHeap::CutHugePage(SpanKind kind) {
  auto* huge_page = metadata_.New<HugePage>();
  if (huge_page == nullptr) return nullptr;
  const HugeRun run = pool_.Take(1, 1);
  if (run.count == 0) {
    metadata_.Delete(huge_page);
    return nullptr;
  }
  huge_page->index = run.index;
  huge_page->kind = kind;
  huge_page->longest_free = kPagesPerHugePage;
  if (run.dirty) {
    huge_page->dirty.SetRange(0, kPagesPerHugePage);
    dirty_in_cut_ += kPagesPerHugePage;
  } else {
    advice_.OnCut(run.index, kind, cut_);
  }
  huge_page->advised = pool_.IsAdvised(run.index, 1);
  page_map_.SetHugePage(run.index, huge_page);
  FillerOf(huge_page).Insert(huge_page);
  ++cut_;
  return huge_page;
}

// The longest free run of a huge page whose longest one was used up to page `end`. What is left of
// it is the longest still if no more is free elsewhere; else all runs are looked at.
uint16_t PageHeap::LongestAfter(const HugePage* huge_page, size_t end) {
  const size_t left = huge_page->used.FindSet(end) - end;
  const size_t free = kPagesPerHugePage - huge_page->used_pages;
  return static_cast<uint16_t>(free <= 2 * left ? left : huge_page->used.LongestClearRun());
}

// Gives pages away: the first `written` of them to be written to, the rest a reserve. Returns
// whether they were all clean.
bool PageHeap::UsePages(HugePage* huge_page, size_t first, size_t count, size_t written) {
  FillerOf(huge_page).Remove(huge_page);
  const size_t dirty = huge_page->dirty.CountRange(first, count);
  dirty_in_cut_ -= dirty;
  used_pages_ += count;
  const size_t run = huge_page->used.ClearRunAround(first);
  huge_page->used.SetRange(first, count);
  huge_page->dirty.SetRange(first, written);
  huge_page->used_pages = static_cast<uint16_t>(huge_page->used_pages + count);
  if (run == huge_page->longest_free)
    huge_page->longest_free = LongestAfter(huge_page, first + count);
  FillerOf(huge_page).Insert(huge_page);
  return dirty == 0;
}

// Takes pages back; the huge page may be left empty.
void PageHeap::FreePages(HugePage* huge_page, size_t first, size_t count) {
  FillerOf(huge_page).Remove(huge_page);
  huge_page->used.ClearRange(first, count);
  dirty_in_cut_ += huge_page->dirty.CountRange(first, count);
  used_pages_ -= count;
  huge_page->used_pages = static_cast<uint16_t>(huge_page->used_pages - count);
  const auto run = static_cast<uint16_t>(huge_page->used.ClearRunAround(first));
  if (run > huge_page->longest_free) huge_page->longest_free = run;
  FillerOf(huge_page).Insert(huge_page);
}

// One empty huge page of each kind stays cut: the next span is likely to want it.
void PageHeap::UncutIfEmpty(HugePage* huge_page) {
  if (huge_page->used_pages != 0) return;
  HugePage*& spare = spares_[static_cast<size_t>(huge_page->kind)];
  if (spare == nullptr || spare == huge_page || spare->used_pages != 0) {
    spare = huge_page;
    return;
  }
  Uncut(huge_page);
}

void PageHeap::UncutSpares() {
  for (HugePage*& spare : spares_) {
    if (spare != nullptr && spare->used_pages == 0) Uncut(spare);
    spare = nullptr;
  }
}

void PageHeap::Uncut(HugePage* huge_page) {
  FillerOf(huge_page).Remove(huge_page);
  const size_t dirty = huge_page->FreeDirtyPages();
  dirty_in_cut_ -= dirty;
  page_map_.ClearDirectory(huge_page->index, 1);
  pool_.Put(huge_page->index, 1, dirty != 0);
  metadata_.Delete(huge_page);
  --cut_;
}

// Descriptors come and go with spans; one that was freed last is kept for the next.
Span* PageHeap::NewSpan() {
  if (spare_span_ == nullptr) return metadata_.New<Span>();
  Span* span = spare_span_;
  spare_span_ = nullptr;
  return new (span) Span();
}

void PageHeap::DeleteSpan(Span* span) {
  if (spare_span_ != nullptr) metadata_.Delete(spare_span_);
  spare_span_ = span;
}

// The heap is about to be larger than ever although many free pages are resident, in runs too
// short: lets most of those go, over several growths if they are many. Not often: what a steady
// program gives back so it soon takes again.
void PageHeap::ReleaseForGrowth() {
  const size_t bearable = kBearableDirtyPages + used_pages_ / 256;
  const size_t peak = peak_resident_.load(std::memory_order_relaxed);
  if (dirty_in_cut_ <= bearable || policy_.keeps_all() ||
      used_pages_ + dirty_in_cut_ + kPagesPerHugePage <= peak) {
    return;
  }
  const uint64_t now = clock_.NowMs();
  if (now < next_growth_release_ms_) return;
  next_growth_release_ms_ = now + kGrowthReleaseMs;
  ReleaseInside(dirty_in_cut_ - bearable / 4, kMaxReleasesAtGrowth);
}

// Cuts another huge page because no cut one has room.
HugePage* PageHeap::GrowFiller(SpanKind kind) {
  if (pool_.dirty() == 0) ReleaseForGrowth();
  HugePage* huge_page = CutHugePage(kind);
  const size_t resident = used_pages_ + DirtyPages();
  if (resident > resident_at_return_ + resident_at_return_ / 16 + ReleasePolicy::kFloorPages) {
    has_grown_.store(true, std::memory_order_relaxed);
  }
  return huge_page;
}

// Makes a span of pages [first, first + pages), and keeps `reserve` more behind it.
Span* PageHeap::PlaceSpan(HugePage* huge_page, size_t first, size_t pages, size_t reserve) {
  Span* span = NewSpan();
  if (span == nullptr) return nullptr;
  span->start = reinterpret_cast<uintptr_t>(pool_.AddressOf(huge_page->index)) + first * kPageSize;
  span->pages = static_cast<uint32_t>(pages);
  span->reserve = static_cast<uint32_t>(reserve);
  span->zeroed = UsePages(huge_page, first, pages + reserve, pages);
  huge_page->SetSpans(first, huge_page->kind == SpanKind::kShared ? pages : 1, span);
  return span;
}

// Clean pages of a huge page in use are preferred to the dirty ones of an empty huge page: that
// packs the heap. Lest more be resident for it than ever before, an empty one is released then.
void PageHeap::HoldPeak() {
  if (used_pages_ + DirtyPages() <= peak_resident_.load(std::memory_order_relaxed) ||
      policy_.keeps_all()) {
    return;
  }
  if (ReleaseHugePages(1, 1) == 0) NotePeak();
}

void PageHeap::NotePeak() {
  const size_t resident = used_pages_ + DirtyPages();
  if (resident > peak_resident_.load(std::memory_order_relaxed)) {
    peak_resident_.store(resident, std::memory_order_relaxed);
  }
}

Span* PageHeap::AllocateInHugePage(size_t pages, size_t alignment_pages, SpanKind kind) {
  HoldPeak();
  const size_t fit = pages + alignment_pages - 1;
  HugePage* huge_page =
      fit <= kPagesPerHugePage ? fillers_[static_cast<size_t>(kind)].Find(fit) : nullptr;
  if (huge_page == nullptr) huge_page = GrowFiller(kind);
  if (huge_page == nullptr) return nullptr;
  return PlaceSpan(huge_page, huge_page->used.FindClearRun(pages, alignment_pages), pages, 0);
}

// A span with a reserve goes where the last one that was freed had its room. Without such a place,
// it goes where there is most room to grow, not where it fits best.
Span* PageHeap::AllocateWithReserve(size_t pages) {
  if (freed_grown_ != nullptr && freed_grown_->reserve >= pages) return ReuseFreedGrown(pages);
  size_t wish = pages * kReserveFactor;
  if (wish > kPagesPerHugePage) wish = kPagesPerHugePage;
  HugePage* huge_page = fillers_[static_cast<size_t>(SpanKind::kSingle)].Roomiest();
  if (huge_page == nullptr || huge_page->longest_free < wish) {
    HugePage* fresh = GrowFiller(SpanKind::kSingle);
    if (fresh != nullptr) huge_page = fresh;
  }
  if (huge_page == nullptr || huge_page->longest_free < pages) return nullptr;
  const size_t count = wish < huge_page->longest_free ? wish : huge_page->longest_free;
  return PlaceSpan(huge_page, huge_page->used.FindClearRun(count), pages, count - pages);
}

Span* PageHeap::ReuseFreedGrown(size_t pages) {
  Span* span = freed_grown_;
  freed_grown_ = nullptr;
  span->pages = static_cast<uint32_t>(pages);
  span->reserve -= static_cast<uint32_t>(pages);
  HugePageOf(span)->SetSpans(FirstPage(span), 1, span);
  return span;
}

// Keeps the pages of a grown span that is freed together for the next one. Meanwhile no block is
// found there.
void PageHeap::KeepFreedGrown(Span* span) {
  DropFreedGrown();
  HugePage* huge_page = HugePageOf(span);
  huge_page->dirty.SetRange(FirstPage(span), span->pages);
  huge_page->SetSpans(FirstPage(span), 1, nullptr);
  span->reserve += span->pages;
  span->pages = 0;
  span->grower = nullptr;
  span->zeroed = false;
  freed_grown_ = span;
}

void PageHeap::DropFreedGrown() {
  Span* span = freed_grown_;
  if (span == nullptr) return;
  freed_grown_ = nullptr;
  HugePage* huge_page = HugePageOf(span);
  FreePages(huge_page, FirstPage(span), span->reserve);
  UncutIfEmpty(huge_page);
  DeleteSpan(span);
}

Span* PageHeap::AllocateHugeRun(size_t pages, size_t alignment) {
  Span* span = NewSpan();
  if (span == nullptr) return nullptr;
  const size_t count = HugePagesFor(pages);
  const size_t huge_alignment = alignment > kHugePageSize ? alignment >> kHugePageShift : 1;
  const HugeRun run = pool_.Take(count, huge_alignment);
  if (run.count == 0) {
    DeleteSpan(span);
    return nullptr;
  }
  span->start = reinterpret_cast<uintptr_t>(pool_.AddressOf(run.index));
  span->pages = static_cast<uint32_t>(pages);
  span->huge_pages = static_cast<uint32_t>(count);
  span->zeroed = !run.dirty;
  used_pages_ += pages;
  NotePeak();
  page_map_.SetLargeSpan(run.index, count, span);
  advice_.OnLarge(span, run);
  return span;
}

Span* PageHeap::AllocateShared(SizeClass size_class, InPageMap in_page_map) {
  const SizeClassInfo& info = kSizeClassTable[size_class];
  const SpanKind kind = info.objects > 1 ? SpanKind::kShared : SpanKind::kSingle;
  os::LockHolder hold(lock_);
  Span* span = AllocateInHugePage(info.pages, 1, kind);
  if (span == nullptr) return nullptr;
  span->Carve(size_class);
  span->state = SpanState::kDetached;
  if (in_page_map == InPageMap::kYes) {
    page_map_.SetClasses(span->start, span->pages, size_class);
  }
  return span;
}

Span* PageHeap::AllocateLarge(size_t pages, size_t alignment) {
  if (pages > kWindowPages || alignment > kWindowSize) return nullptr;
  os::LockHolder hold(lock_);
  const bool cut = pages < kPagesPerHugePage && alignment <= kHugePageSize;
  const size_t alignment_pages = alignment > kPageSize ? alignment >> kPageShift : 1;
  Span* span = cut ? AllocateInHugePage(pages, alignment_pages, SpanKind::kSingle)
                   : AllocateHugeRun(pages, alignment);
  if (span != nullptr) NoteLarge(span);
  return span;
}

Span* PageHeap::AllocateGrowing(size_t pages, const void* grower) {
  if (pages >= kPagesPerHugePage) return AllocateLarge(pages, 1);
  os::LockHolder hold(lock_);
  Span* span = AllocateWithReserve(pages);
  if (span == nullptr) return nullptr;
  span->grower = grower;
  NoteLarge(span);
  return span;
}

void PageHeap::NoteLarge(Span* span) {
  span->state = SpanState::kLarge;
  ++large_spans_;
  ++totals_.large_allocated;
  large_pages_ += span->pages + span->reserve;
}

// Returns whole huge pages to the pool. Returns whether they were mapped afresh.
bool PageHeap::FreeHugePages(size_t index, size_t count, bool moved) {
  page_map_.ClearDirectory(index, count);
  const bool fresh =
      moved && Merge(reinterpret_cast<uintptr_t>(pool_.AddressOf(index)), count << kHugePageShift);
  pool_.Put(index, count, /*dirty=*/!fresh);
  return fresh;
}

void PageHeap::RemoveSpan(Span* span) {
  bool fresh;
  if (span->huge_pages != 0) {
    used_pages_ -= span->pages;
    advice_.OnFree(span);
    fresh = FreeHugePages(HugePageIndex(span->start), span->huge_pages, span->moved);
  } else {
    HugePage* huge_page = HugePageOf(span);
    const size_t first = FirstPage(span);
    fresh = span->moved && Merge(span->start, span->bytes());
    huge_page->SetSpans(first, huge_page->kind == SpanKind::kShared ? span->pages : 1, nullptr);
    huge_page->dirty.SetRange(first, span->pages);
    FreePages(huge_page, first, span->pages + span->reserve);
    if (fresh) CleanPages(huge_page, first, span->pages);
    UncutIfEmpty(huge_page);
  }
  if (fresh) --moved_mappings_;
  DeleteSpan(span);
}

// Pages that came by mremap form a mapping that can't merge with its neighbours. A few of them are
// left as they are, with their memory; once there are many, those that become free are mapped
// afresh. Returns whether that happened, which leaves them clean.
bool PageHeap::Merge(uintptr_t start, size_t bytes) {
  if (moved_mappings_ < kMaxMovedMappings / 2) return false;
  return memory_.MapOver(reinterpret_cast<void*>(start), bytes);
}

// Notes that free pages are clean.
void PageHeap::CleanPages(HugePage* huge_page, size_t first, size_t count) {
  dirty_in_cut_ -= huge_page->dirty.CountRange(first, count);
  huge_page->dirty.ClearRange(first, count);
}

// Asks for a huge page no more, before some of it is released: else the kernel would fill it up
// again. The pages of a huge page that were never given away are resident too.
void PageHeap::TakeBackAdvice(HugePage* huge_page) {
  if (!huge_page->advised) return;
  huge_page->advised = false;
  pool_.AdviseAgainst(huge_page->index);
  dirty_in_cut_ -= huge_page->FreeDirtyPages();
  huge_page->dirty.SetRange(0, kPagesPerHugePage);
  dirty_in_cut_ += huge_page->FreeDirtyPages();
}

// Pages that are moved bring with them what was asked for where they were.
void PageHeap::MoveAdvice(const Span* from, const Span* to) {
  const size_t source = HugePageIndex(from->start);
  const size_t target = HugePageIndex(to->start);
  const size_t count = HugePageIndex(from->start + from->bytes() - 1) - source + 1;
  if (!pool_.IsAdvised(source, count)) return;
  pool_.NoteAdvised(target, HugePageIndex(to->start + from->bytes() - 1) - target + 1);
  if (to->huge_pages == 0) HugePageOf(to)->advised = true;
}

void PageHeap::FreeShared(Span* span) {
  os::LockHolder hold(lock_);
  page_map_.SetClasses(span->start, span->pages, kNoSizeClass);
  RemoveSpan(span);
}

void PageHeap::RemoveLarge(Span* span) {
  NoteUnlockedGrowths(span);
  large_pages_ -= span->pages + span->reserve;
  --large_spans_;
  ++totals_.large_freed;
  if (span->grower != nullptr && !span->moved) return KeepFreedGrown(span);
  RemoveSpan(span);
}

void PageHeap::FreeSpansOf(uint16_t shard) {
  os::LockHolder hold(lock_);
  for (size_t i = 0; i < pool_.extent(); ++i) {
    const size_t index = pool_.first_index() + i;
    if (page_map_.HugePageAt(index) == nullptr) {
      RemoveSpanOf(shard, page_map_.SpanOf(pool_.AddressOf(index)));
      continue;
    }
    for (size_t page = 0; page < kPagesPerHugePage; ++page) {
      // Once it is empty it may be cut no more.
      HugePage* huge_page = page_map_.HugePageAt(index);
      if (huge_page == nullptr) break;
      RemoveSpanOf(shard, huge_page->SpanAt(page));
    }
  }
}

void PageHeap::RemoveSpanOf(uint16_t shard, Span* span) {
  if (span == nullptr || span->shard.load(std::memory_order_relaxed) != shard) return;
  if (span->state == SpanState::kLarge) {
    RemoveLarge(span);
  } else {
    RemoveSpan(span);
  }
}

LargeFault PageHeap::FreeLarge(void* block) {
  os::LockHolder hold(lock_);
  // Looked up under the lock: of two threads that free one block, the second finds nothing.
  Span* span = page_map_.SpanOf(block);
  if (span == nullptr || span->state != SpanState::kLarge) return LargeFault::kNoBlock;
  if (span->start != reinterpret_cast<uintptr_t>(block)) return LargeFault::kInterior;
  policy_.Note(used_pages_, clock_.NowMs());
  const size_t huge_pages = span->huge_pages;
  RemoveLarge(span);
  if (huge_pages >= kReleaseAtOnce)
    ReleaseHugePages(huge_pages * kPagesPerHugePage, kMaxReleaseBatch);
  return LargeFault::kNone;
}

void PageHeap::NoteUnlockedGrowths(Span* span) {
  totals_.grown_in_place += span->unlocked_growths;
  span->unlocked_growths = 0;
}

// Grows a span inside its huge page; with a grower, as far as may be, to have a reserve again.
bool PageHeap::GrowInHugePage(Span* span, size_t pages, const void* grower) {
  HugePage* huge_page = HugePageOf(span);
  const size_t first = FirstPage(span);
  const size_t held = span->pages + span->reserve;
  size_t wish = first + pages * (grower != nullptr ? kReserveFactor : 1);
  if (wish > kPagesPerHugePage) wish = kPagesPerHugePage;
  const size_t room = huge_page->used.FindSet(first + held);
  if (first + pages > room) return false;
  if (wish < first + held) wish = first + held;
  const size_t end = wish < room ? wish : room;
  // What is written to is dirty from here on; the rest as it was.
  huge_page->dirty.SetRange(first, span->pages);
  UsePages(huge_page, first + held, end - (first + held), 0);
  span->reserve = static_cast<uint32_t>(end - first - pages);
  span->grower = grower;
  large_pages_ += end - (first + held);
  return true;
}

// Grows a span of whole huge pages.
bool PageHeap::GrowHugeRun(Span* span, size_t pages) {
  const size_t need = HugePagesFor(pages);
  if (need > span->huge_pages) {
    const size_t end = HugePageIndex(span->start) + span->huge_pages;
    const size_t count = need - span->huge_pages;
    if (pool_.TakeAt(end, count).count == 0) return false;
    page_map_.SetLargeSpan(end, count, span);
    span->huge_pages = static_cast<uint32_t>(need);
  }
  used_pages_ += pages - span->pages;
  large_pages_ += pages - span->pages;
  NotePeak();
  return true;
}

bool PageHeap::GrowLarge(Span* span, size_t pages, const void* grower) {
  os::LockHolder hold(lock_);
  const bool grown =
      span->huge_pages == 0 ? GrowInHugePage(span, pages, grower) : GrowHugeRun(span, pages);
  if (!grown) return false;
  NoteUnlockedGrowths(span);
  span->pages = static_cast<uint32_t>(pages);
  ++totals_.grown_in_place;
  return true;
}

void PageHeap::ReturnReserve(const void* block, const void* grower) {
  Span* span = page_map_.SpanAt(block);
  if (span == nullptr || span->grower != grower) return;
  os::LockHolder hold(lock_);
  // Looked up again under the lock: the block may have been freed since.
  span = page_map_.SpanAt(block);
  if (span != nullptr && span->state == SpanState::kLarge && span->grower == grower) {
    ShrinkInHugePage(span, span->pages);
  }
}

// Returns a span's reserve, and its pages beyond `pages`.
void PageHeap::ShrinkInHugePage(Span* span, size_t pages) {
  HugePage* huge_page = HugePageOf(span);
  const size_t first = FirstPage(span);
  const size_t fewer = span->pages + span->reserve - pages;
  NoteUnlockedGrowths(span);
  huge_page->dirty.SetRange(first, span->pages);
  span->pages = static_cast<uint32_t>(pages);
  span->reserve = 0;
  span->grower = nullptr;
  FreePages(huge_page, first + pages, fewer);
  large_pages_ -= fewer;
}

void PageHeap::ShrinkLarge(Span* span, size_t pages) {
  os::LockHolder hold(lock_);
  if (span->huge_pages == 0) return ShrinkInHugePage(span, pages);
  const size_t fewer = span->pages - pages;
  const size_t need = HugePagesFor(pages);
  const size_t begin = HugePageIndex(span->start) + need;
  const size_t count = span->huge_pages - need;
  const size_t slack_end =
      count == 0 && span->pages < need * kPagesPerHugePage ? span->pages : need * kPagesPerHugePage;
  span->pages = static_cast<uint32_t>(pages);
  span->huge_pages = static_cast<uint32_t>(need);
  used_pages_ -= fewer;
  large_pages_ -= fewer;
  advice_.Forget(span);
  if (count != 0) FreeHugePages(begin, count, span->moved);
  // The tail of the last huge page stays the span's own address space, but not its memory.
  const size_t tail = slack_end - pages;
  if (tail < kMinReleaseRun) return;
  if (pool_.IsAdvised(begin - 1, 1)) pool_.AdviseAgainst(begin - 1);
  ++totals_.release_calls;
  if (memory_.Release(reinterpret_cast<void*>(span->start + pages * kPageSize), tail * kPageSize)) {
    released_bytes_ += tail * kPageSize;
  }
}

bool PageHeap::MoveLarge(Span* from, Span* to) {
  os::LockHolder hold(lock_);
  if (!to->moved && moved_mappings_ >= kMaxMovedMappings) return false;
  if (from->reserve != 0) ShrinkInHugePage(from, from->pages);
  void* source = reinterpret_cast<void*>(from->start);
  const size_t bytes = from->bytes();
  advice_.Forget(from);
  advice_.Forget(to);
  if (!memory_.Move(source, reinterpret_cast<void*>(to->start), bytes)) return false;
  MoveAdvice(from, to);
  if (!to->moved) ++moved_mappings_;
  to->moved = true;
  if (from->moved) --moved_mappings_;
  from->moved = false;
  ++totals_.remapped;
  if (memory_.MapAt(source, bytes)) return true;
  // The kernel took the pages and refuses fresh ones for the place they were at, so the span can
  // never be handed out again. Whole huge pages become a hole; pages of a cut huge page stay in
  // use for ever, by nobody.
  if (from->state == SpanState::kLarge) {
    --large_spans_;
    ++totals_.large_freed;
    large_pages_ -= from->pages;
  } else {
    page_map_.SetClasses(from->start, from->pages, kNoSizeClass);
  }
  if (from->huge_pages != 0) {
    const size_t index = HugePageIndex(from->start);
    // What moved is unmapped, or somebody else's by now; the run's tail is still ours.
    const size_t tail = (size_t{from->huge_pages} << kHugePageShift) - bytes;
    if (tail != 0) memory_.Unmap(static_cast<char*>(source) + bytes, tail);
    page_map_.ClearDirectory(index, from->huge_pages);
    pool_.PutUnmapped(index, from->huge_pages);
    used_pages_ -= from->pages;
  } else {
    HugePageOf(from)->SetSpans(FirstPage(from), 1, nullptr);
  }
  DeleteSpan(from);
  return true;
}

size_t PageHeap::ReleaseHugePages(size_t pages, size_t batch) {
  size_t released = 0;
  while (released < pages) {
    const HugeRun run = pool_.TakeDirty(batch);
    if (run.count == 0) break;
    // The run is ours alone; others may use the heap while the kernel works.
    lock_.Unlock();
    const bool done = memory_.Release(pool_.AddressOf(run.index), run.count << kHugePageShift);
    lock_.Lock();
    pool_.Put(run.index, run.count, /*dirty=*/!done);
    ++totals_.release_calls;
    if (!done) break;
    released += run.count * kPagesPerHugePage;
  }
  released_bytes_ += released * kPageSize;
  return released;
}

// Releases the free dirty runs of at least `min_run` pages in one huge page, by at most *calls
// calls, which it counts down. Each run is in use by nobody while the kernel works on it, so the
// lock can be dropped.
size_t PageHeap::ReleaseRunsOf(HugePage* huge_page, size_t min_run, size_t* calls) {
  size_t released = 0;
  size_t first = huge_page->used.FindClear(0);
  while (first < kPagesPerHugePage && *calls != 0) {
    const size_t count = huge_page->used.FindSet(first) - first;
    size_t dirty = huge_page->dirty.CountRange(first, count);
    if (dirty >= min_run) {
      TakeBackAdvice(huge_page);
      dirty = huge_page->dirty.CountRange(first, count);
      char* address = static_cast<char*>(pool_.AddressOf(huge_page->index)) + first * kPageSize;
      UsePages(huge_page, first, count, count);
      lock_.Unlock();
      const bool done = memory_.Release(address, count * kPageSize);
      lock_.Lock();
      ++totals_.release_calls;
      --*calls;
      FreePages(huge_page, first, count);
      if (!done) break;
      CleanPages(huge_page, first, count);
      released += dirty;
    }
    const size_t end = first + count;
    first = end < kPagesPerHugePage ? huge_page->used.FindClear(end) : kPagesPerHugePage;
  }
  UncutIfEmpty(huge_page);
  released_bytes_ += released * kPageSize;
  return released;
}

// Goes round the huge pages that are cut, by address, from where the last call stopped, and calls
// madvise at most `calls` times.
size_t PageHeap::ReleaseInside(size_t pages, size_t calls) {
  size_t released = 0;
  for (size_t min_run : {kMinReleaseRun, size_t{1}}) {
    for (size_t visited = 0; visited < pool_.extent(); ++visited) {
      if (released >= pages || dirty_in_cut_ == 0 || calls == 0) return released;
      release_cursor_ = release_cursor_ + 1 < pool_.extent() ? release_cursor_ + 1 : 0;
      HugePage* huge_page = page_map_.HugePageAt(pool_.first_index() + release_cursor_);
      if (huge_page != nullptr) released += ReleaseRunsOf(huge_page, min_run, &calls);
    }
  }
  return released;
}

bool PageHeap::ReleaseParts(const Span* span, size_t first, size_t count) {
  const size_t bytes = count * kReleaseUnit;
  {
    os::LockHolder hold(lock_);
    TakeBackAdvice(HugePageOf(span));
  }
  if (!memory_.Release(reinterpret_cast<void*>(span->start + first * kReleaseUnit), bytes)) {
    return false;
  }
  os::LockHolder hold(lock_);
  ++totals_.release_calls;
  released_bytes_ += bytes;
  return true;
}

size_t PageHeap::ReleaseLocked(size_t pages) {
  size_t released = ReleaseHugePages(pages, kMaxReleaseBatch);
  if (released < pages) released += ReleaseInside(pages - released, ~size_t{0});
  if (released != 0) ++totals_.releases;
  return released;
}

size_t PageHeap::Release(size_t pages) {
  os::LockHolder hold(lock_);
  DropFreedGrown();
  UncutSpares();
  return ReleaseLocked(pages);
}

void PageHeap::ReleaseExcess(uint64_t now_ms) {
  os::LockHolder hold(lock_);
  policy_.Note(used_pages_, now_ms);
  const size_t excess = policy_.Excess(used_pages_, DirtyPages());
  if (excess != 0) ReleaseLocked(excess);
}

void PageHeap::ReleaseUnused() {
  os::LockHolder hold(lock_);
  if (policy_.keeps_all()) return;
  DropFreedGrown();
  UncutSpares();
  ReleaseLocked(~size_t{0});
}

size_t PageHeap::NoteIdleReturned() {
  os::LockHolder hold(lock_);
  DropFreedGrown();
  const size_t before = resident_at_return_;
  resident_at_return_ = used_pages_ + DirtyPages();
  has_grown_.store(false, std::memory_order_relaxed);
  return resident_at_return_ > before ? resident_at_return_ - before : 0;
}

bool PageHeap::ReclaimForRetry() {
  os::LockHolder hold(lock_);
  DropFreedGrown();
  UncutSpares();
  const size_t released = ReleaseLocked(~size_t{0});
  const size_t unmapped = pool_.UnmapFree();
  return released + unmapped != 0;
}

PageHeapStats PageHeap::Stats() {
  os::LockHolder hold(lock_);
  DropFreedGrown();
  PageHeapStats stats = totals_;
  stats.span_pages = used_pages_;
  stats.released_pages = released_bytes_ / kPageSize;
  stats.large_pages = large_pages_;
  stats.large_spans = large_spans_;
  stats.dirty_pages = DirtyPages();
  stats.mapped_pages = pool_.mapped() * kPagesPerHugePage;
  stats.clean_pages = stats.mapped_pages - stats.span_pages - stats.dirty_pages;
  stats.huge_pages_cut = cut_;
  stats.copied = copied_.load(std::memory_order_relaxed);
  return stats;
}

bool PageHeap::CheckInvariants() {
  os::LockHolder hold(lock_);
  bool good = pool_.CheckInvariants();
  size_t dirty = 0;
  size_t cut = 0;
  for (HugePageFiller& filler : fillers_) {
    filler.ForEach([&](HugePage* huge_page) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      ++cut;
      dirty += huge_page->FreeDirtyPages();
      good = good && huge_page->used.Count() == huge_page->used_pages &&
             huge_page->used.LongestClearRun() == huge_page->longest_free &&
             page_map_.HugePageAt(huge_page->index) == huge_page;
    });
  }
  return good && dirty == dirty_in_cut_ && cut == cut_;
}

}  // namespace spanmalloc

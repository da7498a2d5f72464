// SPDX-License-Identifier: Apache-2.0
//
// Spans made and freed.
#include "allocator/heap/page_heap.h"

#include "absl/numeric/bits.h"
#include "allocator/params/span_shapes.h"

namespace spanmalloc {
namespace {

// A freed block of this many huge pages or more goes back to the kernel at once, unless all is
// kept: 32 MiB.
constexpr size_t kReleaseAtOnce = 16;

// Between two releases of an empty huge page for the sake of the peak.
constexpr uint64_t kPeakReleaseMs = 25;

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
  auto* huge_page = metadata_.NewZero<HugePage>();
  if (huge_page == nullptr) return nullptr;
  const HugeRun run = pool_.Take(1, 1);
  if (run.count == 0) {
    metadata_.Delete(huge_page);
    return nullptr;
  }
  huge_page->index = run.index;
  huge_page->kind = kind;
  huge_page->longest_free = kPagesPerHugePage;
  if (run.released != 0) {
    huge_page->released.SetRange(0, kPagesPerHugePage);
    huge_page->released_ms = runs_released_ms_;
  }
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

// Notes that all of a span was written to, perhaps. Returns how many pages of its extent are dirty.
size_t PageHeap::NoteWritten(HugePage* huge_page, const Span* span) {
  if (ABSL_PREDICT_TRUE(span->grower == nullptr && span->reserve == 0)) return span->pages;
  const size_t first = FirstPage(span);
  huge_page->dirty.SetRange(first, span->pages);
  return huge_page->dirty.CountRange(first, FreedSpans::Extent(span));
}

// Gives pages away: the first `written` of them to be written to, the rest a reserve. Returns how
// many of them were dirty.
size_t PageHeap::UsePages(HugePage* huge_page, size_t first, size_t count, size_t written) {
  size_t dirty = count;
  if (!huge_page->dirty.AllSet(first, count)) {
    dirty = huge_page->dirty.CountRange(first, count);
    huge_page->dirty.SetRange(first, written);
  }
  dirty_in_cut_ -= dirty;
  used_pages_ += count;
  huge_page->used_pages = static_cast<uint16_t>(huge_page->used_pages + count);
  const auto run = huge_page->used.ClearRunAround(first);
  huge_page->used.SetRange(first, count);
  size_t longest = huge_page->longest_free;
  if (run.length() == longest) {
    const size_t left = run.end - (first + count);
    longest = huge_page->used.LongestClearRun(huge_page->FreePages(), left);
  }
  FillerOf(huge_page).Update(huge_page, longest);
  return dirty;
}

// Takes pages back, `dirty` of which are dirty; the huge page may be left empty.
void PageHeap::FreePages(HugePage* huge_page, size_t first, size_t count, size_t dirty) {
  huge_page->used.ClearRange(first, count);
  dirty_in_cut_ += dirty;
  used_pages_ -= count;
  huge_page->used_pages = static_cast<uint16_t>(huge_page->used_pages - count);
  const size_t run = huge_page->used.ClearRunAround(first).length();
  FillerOf(huge_page).Update(huge_page,
                             run > huge_page->longest_free ? run : huge_page->longest_free);
}

// One empty huge page of each kind stays cut: the next span is likely to want it.
void PageHeap::UncutIfEmpty(HugePage* huge_page) {
  if (huge_page->used_pages != 0) return;
  HugePage*& spare = spares_[static_cast<size_t>(huge_page->kind)];
  if (spare == nullptr || spare == huge_page || spare->used_pages != 0) {
    spare = huge_page;
    return;
  }
  UncutIfKnown(huge_page);
}

// Uncut, all of a huge page counts as dirty or all as clean. An empty one most of which was given
// back stays cut until the rest is released.
void PageHeap::UncutIfKnown(HugePage* huge_page) {
  const size_t dirty = huge_page->FreeDirtyPages();
  const bool mostly_clean = dirty != 0 && dirty < kPagesPerHugePage / 2;
  if (!mostly_clean || !huge_page->thinned) Uncut(huge_page);
}

// Nothing is kept for the next request any more.
void PageHeap::DropSpares() {
  DropFreed();
  for (HugePage*& spare : spares_) {
    if (spare != nullptr && spare->used_pages == 0) UncutIfKnown(spare);
    spare = nullptr;
  }
}

void PageHeap::Uncut(HugePage* huge_page) {
  FillerOf(huge_page).Remove(huge_page);
  const size_t dirty = huge_page->FreeDirtyPages();
  dirty_in_cut_ -= dirty;
  page_map_.ClearDirectory(huge_page->index, 1);
  pool_.Put(huge_page->index, 1, dirty != 0);
  if (dirty == 0 && huge_page->released_ms != 0) NoteReleasedRun({huge_page->index, 1});
  metadata_.Delete(huge_page);
  --cut_;
}

// Descriptors come and go with spans; the one that was freed last is kept for the next.
Span* PageHeap::NewSpan() {
  void* block = spare_span_ != nullptr ? spare_span_ : metadata_.Allocate(sizeof(Span));
  spare_span_ = nullptr;
  return block == nullptr ? nullptr : new (block) Span();
}

void PageHeap::DeleteSpan(Span* span) {
  Span* const last = spare_span_;
  spare_span_ = span;
  if (last != nullptr) metadata_.Free(last, sizeof(Span));
}

// Of a span that is nobody's any more.
void PageHeap::ForgetObjects(Span* span) {
  if (span->size_class == kNoSizeClass) return;
  uint64_t* const bitmap = span->ForgetObjects();
  if (bitmap != nullptr) metadata_.Free(bitmap, Span::LongBitmapBytes(span->size_class));
}

// Cuts another huge page because no cut one has room.
HugePage* PageHeap::GrowFiller(SpanKind kind) {
  DropFreed();
  if (pool_.dirty() == 0) ReleaseForGrowth();
  HugePage* huge_page = CutHugePage(kind);
  if (GrownMuch()) NoteGrown();
  return huge_page;
}

// Makes a span of pages [first, first + pages), and keeps `reserve` more behind it.
Span* PageHeap::PlaceSpan(HugePage* huge_page, size_t first, size_t pages, size_t reserve,
                          SpanKind kind) {
  Span* span = NewSpan();
  if (span == nullptr) return nullptr;
  span->start = reinterpret_cast<uintptr_t>(pool_.AddressOf(huge_page->index)) + first * kPageSize;
  span->pages = static_cast<uint32_t>(pages);
  span->reserve = static_cast<uint32_t>(reserve);
  const size_t dirty = UsePages(huge_page, first, pages + reserve, pages);
  span->zeroed = dirty == 0;
  if (dirty != pages + reserve && huge_page->released_ms != 0) {
    NoteReuse(huge_page, first, pages + reserve);
  }
  huge_page->SetSpans(first, EntriesOf(kind, pages), span);
  return span;
}

// Clean pages were given away. Those of a huge page in use are preferred to the dirty ones of an
// empty huge page: that packs the heap. Lest more be resident for it than ever before, an empty one
// is released then; not often: in a steady program it isn't empty for long.
void PageHeap::HoldPeak() {
  if (Held() <= peak_resident_.load(std::memory_order_relaxed) || policy_.keeps_all() || hooked()) {
    return;
  }
  DropFreed();
  if (pool_.dirty() == 0) return NotePeak();
  const uint64_t now = clock_.NowMs();
  if (now < next_peak_release_ms_ || ReleaseHugePages(1, 1) == 0) return NotePeak();
  next_peak_release_ms_ = now + kPeakReleaseMs;
}

// Whether it is time for caches to return what they hold idle.
bool PageHeap::GrownMuch() {
  return used_pages_ + DirtyPages() >
         resident_at_return_ + resident_at_return_ / 16 + ReleasePolicy::kFloorPages;
}

void PageHeap::NotePeak() {
  const size_t resident = Held();
  if (resident > peak_resident_.load(std::memory_order_relaxed)) {
    peak_resident_.store(resident, std::memory_order_relaxed);
    UpdateUnwatched();
    if (resident >= peak_at_growth_ + kGrowthStep) {
      NoteGrown();
    }
  }
}

// Whether `pages` pages, clean ones, are to wait until caches have been asked for whole spans: the
// heap would hold more than ever, and that has risen since they were asked before. So a program is
// asked at most so many times, however long it runs. Only if it has one thread: others would wait
// for the lists, and want back what their caches lose.
bool PageHeap::AsksFirst(size_t pages) {
  const size_t peak = peak_resident_.load(std::memory_order_relaxed);
  if (Held() + pages <= peak || policy_.keeps_all() || hooked() || !os::RankedLock::Alone()) {
    return false;
  }
  const size_t share = peak / kAskShare;
  if (peak <= ReleasePolicy::kFloorPages ||
      peak < peak_at_ask_ + (share < kAskStep ? kAskStep : share)) {
    return false;
  }
  peak_at_ask_ = peak;
  return true;
}

// A huge page with room for `pages` pages: rather one of its kind, made of kept spans if need be,
// then one of the other kind, then a new one; nullptr if out of memory, or caches are asked first.
HugePage* PageHeap::FindInHugePage(size_t pages, SpanKind kind, AtPeak at_peak) {
  if (pages > kPagesPerHugePage) return GrowFiller(kind);
  const HugePageFiller& filler = fillers_[static_cast<size_t>(kind)];
  HugePage* huge_page = filler.Find(pages);
  while (huge_page == nullptr && DropFreed(kDroppedAtOnce)) huge_page = filler.Find(pages);
  if (huge_page == nullptr) huge_page = fillers_[static_cast<size_t>(Other(kind))].Find(pages);
  if (huge_page != nullptr) return huge_page;
  return at_peak == AtPeak::kAskFirst && AsksFirst(pages) ? nullptr : GrowFiller(kind);
}

Span* PageHeap::AllocateInHugePage(size_t pages, size_t alignment, SizeClass size_class,
                                   AtPeak at_peak) {
  const SpanKind kind = KindOf(size_class);
  Span* span = kind == SpanKind::kSingle ? ReuseFreed(pages, pages, 0, alignment) : nullptr;
  if (span != nullptr) return span;
  if (!MayUse(pages)) return nullptr;
  const size_t alignment_pages = alignment > kPageSize ? alignment >> kPageShift : 1;
  HugePage* huge_page = FindInHugePage(pages + alignment_pages - 1, kind, at_peak);
  if (huge_page == nullptr) return nullptr;
  const size_t first = huge_page->used.FindClearRun(pages, alignment_pages);
  if (at_peak == AtPeak::kAskFirst && !huge_page->dirty.AllSet(first, pages) && AsksFirst(pages)) {
    return nullptr;
  }
  const size_t dirty = dirty_in_cut_;
  span = PlaceSpan(huge_page, first, pages, 0, kind);
  if (dirty - dirty_in_cut_ < pages) HoldPeak();
  return span;
}

Span* PageHeap::AllocateHugeRun(size_t pages, size_t alignment) {
  const size_t count = HugePagesFor(pages);
  Span* span = ReuseFreed(pages, pages, count, alignment);
  if (span != nullptr) return span;
  DropFreed();
  if (!HoldLimits(pages)) return nullptr;
  span = NewSpan();
  if (span == nullptr) return nullptr;
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
  if (run.released != 0) NoteReusedRun(run, pages);
  used_pages_ += pages;
  NotePeak();
  page_map_.SetLargeSpan(run.index, count, span);
  advice_.OnLarge(span, run);
  return span;
}

Span* PageHeap::AllocateShared(SizeClass size_class, InPageMap in_page_map, AtPeak at_peak) {
  const size_t bitmap_bytes = Span::LongBitmapBytes(size_class);
  uint64_t* bitmap = nullptr;
  if (bitmap_bytes != 0) {
    // Nobody writes to it before an object comes back.
    bitmap = static_cast<uint64_t*>(metadata_.Allocate(bitmap_bytes, FirstWrite::kPerhaps));
    if (bitmap == nullptr) return nullptr;
  }
  os::LockHolder hold(lock_);
  Span* span = AllocateInHugePage(ShapeOf(size_class).pages, 1, size_class, at_peak);
  if (span == nullptr) {
    if (bitmap != nullptr) metadata_.Free(bitmap, bitmap_bytes);
    return nullptr;
  }
  span->Carve(size_class, bitmap);
  span->state = SpanState::kDetached;
  if (in_page_map == InPageMap::kYes) {
    page_map_.SetClasses(span->start, span->pages, size_class);
  }
  return span;
}

Span* PageHeap::AllocateLarge(size_t pages, size_t alignment, AtPeak at_peak) {
  if (pages > kWindowPages || alignment > kWindowSize) return nullptr;
  os::LockHolder hold(lock_);
  const bool cut = pages < kPagesPerHugePage && alignment <= kHugePageSize;
  Span* span = cut ? AllocateInHugePage(pages, alignment, kNoSizeClass, at_peak)
                   : AllocateHugeRun(pages, alignment);
  if (span != nullptr) NoteLarge(span);
  return span;
}

void PageHeap::NoteLarge(Span* span) {
  span->state = SpanState::kLarge;
  span->noted_pages = span->pages;
  ++large_spans_;
  ++totals_.large_allocated;
  totals_.large_allocated_pages += span->pages;
  ++LargeClass(span->pages).made;
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
  uint64_t released = 0;
  if (span->size_class != kNoSizeClass) {
    released = span->Released();
    ForgetObjects(span);
  }
  bool fresh;
  if (span->huge_pages != 0) {
    used_pages_ -= span->pages;
    advice_.OnFree(span);
    fresh = FreeHugePages(HugePageIndex(span->start), span->huge_pages, span->moved);
  } else {
    HugePage* huge_page = HugePageOf(span);
    const size_t first = FirstPage(span);
    fresh = span->moved && Merge(span->start, span->bytes());
    huge_page->SetSpans(first, EntriesOf(KindOf(span->size_class), span->pages), nullptr);
    const size_t extent = FreedSpans::Extent(span);
    FreePages(huge_page, first, extent, NoteWritten(huge_page, span));
    if (fresh) CleanPages(huge_page, first, span->pages);
    if (released != 0) CleanParts(huge_page, *span, released);
    UncutIfEmpty(huge_page);
  }
  if (fresh) NoteMoved(-1);
  DeleteSpan(span);
}

// Pages that came by mremap form a mapping that can't merge with its neighbours. A few of them are
// left as they are, with their memory; once there are many, those that become free are mapped
// afresh. Returns whether that happened, which leaves them clean.
bool PageHeap::Merge(uintptr_t start, size_t bytes) {
  if (moved_mappings_ < kMaxMovedMappings / 2 || !IsWhole(start, bytes)) return false;
  return memory_.MapOver(reinterpret_cast<void*>(start), bytes);
}

void PageHeap::FreeShared(Span* span) {
  os::LockHolder hold(lock_);
  page_map_.SetClasses(span->start, span->pages, kNoSizeClass);
  if (span->objects() == 1) {
    KeepFreed(span);
  } else {
    RemoveSpan(span);
  }
  HoldBound();
}

void PageHeap::RemoveLarge(Span* span) {
  NoteGrowths(span);
  large_pages_ -= span->pages + span->reserve;
  --large_spans_;
  ++totals_.large_freed;
  ++LargeClass(span->pages).freed;
  KeepFreed(span);
}

// Looked up under the lock: of two threads that free one block, the second finds nothing. Its huge
// page may have gone to another heap meanwhile.
Span* PageHeap::LargeSpanOf(const void* block) {
  if (ABSL_PREDICT_FALSE(pool_.shares()) &&
      !pool_.Has(HugePageIndex(reinterpret_cast<uintptr_t>(block)))) {
    return nullptr;
  }
  return page_map_.SpanOf(block);
}

LargeFault PageHeap::FreeLarge(void* block) {
  os::LockHolder hold(lock_);
  Span* span = LargeSpanOf(block);
  if (span == nullptr || span->state != SpanState::kLarge) return LargeFault::kNoBlock;
  if (span->start != reinterpret_cast<uintptr_t>(block)) return LargeFault::kInterior;
  policy_.Note(used_pages_, clock_.NowMs());
  const size_t huge_pages = span->huge_pages;
  RemoveLarge(span);
  if (huge_pages >= kReleaseAtOnce && !policy_.keeps_all() && !hooked()) {
    ReleaseHugePages(huge_pages * kPagesPerHugePage, kMaxReleaseBatch);
  }
  HoldBound();
  return LargeFault::kNone;
}

PageHeapStats PageHeap::Stats(LargeClassStats* large_classes) {
  os::LockHolder hold(lock_);
  DropFreed();
  if (large_classes != nullptr) {
    for (size_t k = 0; k < kLargeClasses; ++k) {
      large_classes[k].made += large_classes_[k].made;
      large_classes[k].freed += large_classes_[k].freed;
    }
  }
  PageHeapStats stats = totals_;
  stats.span_pages = used_pages_;
  stats.released_pages = released_bytes_ / kPageSize;
  stats.large_pages = large_pages_;
  stats.large_spans = large_spans_;
  stats.dirty_pages = DirtyPages();
  stats.mapped_pages = pool_.mapped() * kPagesPerHugePage;
  stats.clean_pages = stats.mapped_pages - stats.span_pages - stats.dirty_pages;
  stats.huge_pages_cut = cut_;
  stats.mapping_splits = 2 * moved_mappings_ + pool_.advice_edges();
  stats.copied = copied_.load(std::memory_order_relaxed);
  stats.copied_bytes = copied_bytes_.load(std::memory_order_relaxed);
  return stats;
}

// Of its spans of size classes, those parts that the kernel has.
size_t PageHeap::ReleasedParts(const HugePage& huge_page) {
  size_t parts = 0;
  const Span* last = nullptr;
  for (size_t page = 0; page < kPagesPerHugePage; ++page) {
    const Span* span = huge_page.SpanAt(page);
    if (span == nullptr || span == last || span->size_class == kNoSizeClass) continue;
    last = span;
    parts += static_cast<size_t>(absl::popcount(span->Released()));
  }
  return parts;
}

// Whether those pages of spans that are surely written to are noted as that.
bool PageHeap::SpansAreDirty(const HugePage& huge_page) {
  for (size_t page = 0; page < kPagesPerHugePage; ++page) {
    const Span* span = huge_page.SpanAt(page);
    if (span == nullptr || FirstPage(span) != page) continue;
    if (span->size_class == kNoSizeClass && span->grower != nullptr) continue;
    if (!huge_page.dirty.AllSet(page, span->pages)) return false;
  }
  return true;
}

bool PageHeap::CheckInvariants() {
  os::LockHolder hold(lock_);
  bool good = pool_.CheckInvariants() && freed_.CheckInvariants();
  size_t dirty = 0;
  size_t cut = 0;
  size_t parts = 0;
  for (HugePageFiller& filler : fillers_) {
    filler.ForEach([&](HugePage* huge_page) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      ++cut;
      dirty += huge_page->FreeDirtyPages();
      parts += ReleasedParts(*huge_page);
      good = good && huge_page->used.Count() == huge_page->used_pages &&
             huge_page->used.LongestClearRun(huge_page->FreePages()) == huge_page->longest_free &&
             SpansAreDirty(*huge_page) && page_map_.HugePageAt(huge_page->index) == huge_page;
    });
  }
  return good && dirty == dirty_in_cut_ && cut == cut_ && parts == released_parts_;
}

}  // namespace spanmalloc

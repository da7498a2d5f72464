// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/page_map.h"

#include "allocator/util/relaxed.h"

namespace spanmalloc {
namespace {

// Table entries become writable in whole steps of the largest page a kernel may use.
constexpr size_t kCommitStep = size_t{64} << 10;

}  // namespace

// The steps that bytes [begin, end) of a table are part of.
PageMap::ByteRange PageMap::Widen(size_t begin, size_t end, size_t table) {
  const size_t limit = RoundUp(table, kCommitStep);
  const size_t wide_end = RoundUp(end, kCommitStep);
  return {begin / kCommitStep * kCommitStep, wide_end < limit ? wide_end : limit};
}

PageMap::ByteRange PageMap::DirectoryOf(size_t begin_huge_page, size_t end_huge_page) const {
  constexpr size_t kBytes = sizeof(uintptr_t);
  return Widen(begin_huge_page * kBytes, end_huge_page * kBytes, huge_pages_ * kBytes);
}

PageMap::ByteRange PageMap::ClassesOf(size_t begin_huge_page, size_t end_huge_page) const {
  constexpr size_t kBytes = kPagesPerHugePage;
  return Widen(begin_huge_page * kBytes, end_huge_page * kBytes, huge_pages_ * kBytes);
}

bool PageMap::Init(size_t window_bytes) {
  const size_t huge_pages = window_bytes >> kHugePageShift;
  const size_t directory_bytes = RoundUp(huge_pages * sizeof(uintptr_t), kCommitStep);
  const size_t class_bytes = RoundUp(huge_pages * kPagesPerHugePage, kCommitStep);
  void* tables = memory_.Reserve(directory_bytes + class_bytes);
  if (tables == nullptr) return false;
  directory_ = static_cast<std::atomic<uintptr_t>*>(tables);
  classes_ = static_cast<uint8_t*>(tables) + directory_bytes;
  huge_pages_ = huge_pages;
  return true;
}

size_t PageMap::Cover(size_t begin_huge_page, size_t end_huge_page) {
  if (end_huge_page > huge_pages_) return 0;
  const ByteRange directory = DirectoryOf(begin_huge_page, end_huge_page);
  const ByteRange classes = ClassesOf(begin_huge_page, end_huge_page);
  if (!memory_.Commit(reinterpret_cast<char*>(directory_) + directory.begin,
                      directory.end - directory.begin) ||
      !memory_.Commit(classes_ + classes.begin, classes.end - classes.begin)) {
    return 0;
  }
  covered_bytes_.fetch_add(directory.end - directory.begin + classes.end - classes.begin,
                           std::memory_order_relaxed);
  // The whole step is writable; claim all of it, so that growth rarely comes here.
  const size_t end = classes.end / kPagesPerHugePage;
  return end < huge_pages_ ? end : huge_pages_;
}

bool PageMap::AdmitForeign() {
  if (foreign() != nullptr) return true;
  void* memory = memory_.Map(RoundUp(sizeof(ForeignMap), memory_.PageSize()));
  if (memory == nullptr) return false;
  // Constructing it would touch all of it. Release: pairs with the acquire in foreign.
  foreign_.store(static_cast<ForeignMap*>(memory), std::memory_order_release);
  return true;
}

size_t PageMap::ResidentBytes(size_t begin_huge_page, size_t end_huge_page) const {
  if (begin_huge_page == end_huge_page) return 0;
  const ByteRange directory = DirectoryOf(begin_huge_page, end_huge_page);
  const ByteRange classes = ClassesOf(begin_huge_page, end_huge_page);
  return memory_.Resident(reinterpret_cast<char*>(directory_) + directory.begin,
                          directory.end - directory.begin) +
         memory_.Resident(classes_ + classes.begin, classes.end - classes.begin);
}

Span* PageMap::SpanOf(const void* pointer) const {
  Span* span = CandidateFor(pointer);
  // Addresses outside the window share indices with addresses in it.
  const bool found = span != nullptr && span->Contains(reinterpret_cast<uintptr_t>(pointer));
  return found ? span : nullptr;
}

Span* PageMap::SpanAt(const void* start) const {
  const uintptr_t address = reinterpret_cast<uintptr_t>(start);
  const uintptr_t entry = DirectoryEntry(address);
  if (entry == 0) return nullptr;
  Span* span = (entry & kLargeSpanTag) != 0
                   ? reinterpret_cast<Span*>(entry & ~kLargeSpanTag)
                   : reinterpret_cast<const HugePage*>(entry)->SpanAt(PageInHugePage(address));
  return span != nullptr && span->start == address ? span : nullptr;
}

void PageMap::SetClasses(uintptr_t start, size_t pages, SizeClass size_class) {
  uint8_t* classes = classes_ + PageIndex(start);
  for (size_t i = 0; i < pages; ++i) RelaxedStore(classes[i], size_class);
}

void PageMap::SetHugePage(size_t index, HugePage* huge_page) {
  directory_[index].store(reinterpret_cast<uintptr_t>(huge_page), std::memory_order_relaxed);
}

void PageMap::SetLargeSpan(size_t index, size_t huge_pages, Span* span) {
  for (size_t i = index; i < index + huge_pages; ++i) {
    directory_[i].store(reinterpret_cast<uintptr_t>(span) | kLargeSpanTag,
                        std::memory_order_relaxed);
  }
}

void PageMap::ClearDirectory(size_t index, size_t huge_pages) {
  for (size_t i = index; i < index + huge_pages; ++i) {
    directory_[i].store(0, std::memory_order_relaxed);
  }
}

}  // namespace spanmalloc

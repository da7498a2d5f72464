// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/resident_memory.h"

#include "allocator/os/process_memory.h"
#include "allocator/params/span_shapes.h"

namespace spanmalloc {
namespace {

int64_t Signed(size_t bytes) { return static_cast<int64_t>(bytes); }

// Bytes of spans of size classes in which no object lies.
size_t SpanEnds(const StatsSnapshot& snapshot) {
  size_t bytes = 0;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const SpanShape& shape = ShapeOf(c);
    bytes += snapshot.classes[c].spans * (shape.pages * kPageSize - shape.objects * shape.size);
  }
  return bytes;
}

}  // namespace

RssTable MeasureRss(const StatsSources& sources, const StatsSnapshot& snapshot) {
  const PageHeapResidency heap = sources.page_heap.MeasureResidency();
  RssTable table;
  table[RssRow::kSmallLive] = Signed(snapshot.small_live);
  table[RssRow::kThreadCaches] = Signed(snapshot.thread_cached);
  table[RssRow::kCpuLists] = Signed(snapshot.central_cached);
  table[RssRow::kSpanFree] = Signed(snapshot.span_free);
  table[RssRow::kSpanEnds] = Signed(SpanEnds(snapshot));
  int64_t small = 0;
  for (size_t row = 0; row < static_cast<size_t>(RssRow::kSmallAbsent); ++row) {
    small += table.bytes[row];
  }
  table[RssRow::kSmallAbsent] = Signed(heap.small) - small;
  table[RssRow::kLargeLive] = Signed(snapshot.large_live());
  table[RssRow::kLargeAbsent] = Signed(heap.large) - Signed(snapshot.large_live());
  table[RssRow::kFreePages] = Signed(heap.free);
  if (sources.regions != nullptr) {
    table[RssRow::kRegions] = Signed(sources.regions->ResidentBytes());
  }
  table[RssRow::kMetadata] = Signed(sources.metadata.ResidentBytes() + heap.tables);
  if (sources.image != nullptr) {
    table[RssRow::kLibrary] = Signed(os::PresentBytes(sources.image->begin, sources.image->end));
  }
  int64_t allocator = 0;
  for (const int64_t bytes : table.bytes) allocator += bytes;
  static constinit os::KernelFiles files;
  const int64_t process = Signed(os::ProcessResident(files));
  table[RssRow::kProcess] = process == 0 ? allocator : process;
  table[RssRow::kOutside] = table[RssRow::kProcess] - allocator;
  return table;
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/glibc_statistics.h"

#include <limits.h>

#include "allocator/api/statistics.h"
#include "allocator/os/raw_output.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

// Objects that caches hold, ready to be handed out; and those free in spans.
struct FreeObjects {
  size_t cached = 0;
  size_t in_spans = 0;
};

FreeObjects CountFree(const StatsSnapshot& stats) {
  FreeObjects free;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    free.cached += stats.classes[c].thread_cached + stats.classes[c].central_cached;
    free.in_spans += stats.classes[c].span_free;
  }
  return free;
}

size_t CachedBytes(const StatsSnapshot& stats) {
  return stats.thread_cached + stats.central_cached;
}

// Of blocks in size classes, and of free pages: what isn't released.
size_t ArenaBytes(const StatsSnapshot& stats) {
  return stats.active() - stats.large_live() + stats.dirty();
}

int Saturated(size_t value) {
  return value > static_cast<size_t>(INT_MAX) ? INT_MAX : static_cast<int>(value);
}

void PrintRow(TextBuffer* text, std::string_view label, size_t value) {
  *text << label;
  char storage[24];
  TextBuffer digits(storage, sizeof(storage));
  digits << uint64_t{value};
  *text << " = ";
  for (size_t i = digits.size(); i < 10; ++i) *text << ' ';
  *text << digits.text() << '\n';
}

// What the XML tells. A whole snapshot would be too much for small stacks; and the stream, which
// may allocate, is written to when all numbers are known.
struct XmlNumbers {
  size_t free_objects[kSizeClassEnd];
  FreeObjects free;
  size_t cached_bytes;
  size_t arena_bytes;
  size_t rest;
  size_t most;
  size_t large_spans;
  size_t large_bytes;
};

XmlNumbers TakeXmlNumbers() {
  XmlNumbers numbers = {};
  WithStatistics([&numbers](const StatsSnapshot& stats) {
    for (size_t c = 1; c < kSizeClassEnd; ++c) {
      const ClassStats& entry = stats.classes[c];
      numbers.free_objects[c] = entry.thread_cached + entry.central_cached + entry.span_free;
    }
    numbers.free = CountFree(stats);
    numbers.cached_bytes = CachedBytes(stats);
    numbers.arena_bytes = ArenaBytes(stats);
    numbers.rest = stats.rest_of_spans() + stats.dirty();
    numbers.most = stats.heap.mapped_pages * kPageSize;
    numbers.large_spans = stats.heap.large_spans;
    numbers.large_bytes = stats.large_live();
  });
  return numbers;
}

void PrintSizes(const XmlNumbers& numbers, FILE* stream) {
  fprintf(stream, "<sizes>\n");
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const size_t size = kSizeClassTable[c].size;
    const size_t free = numbers.free_objects[c];
    if (free == 0) continue;
    fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
            c == 1 ? size_t{1} : kSizeClassTable[c - 1].size + 1, size, size * free, free);
  }
  fprintf(stream, "</sizes>\n");
}

void PrintTotal(const char* type, size_t count, size_t size, FILE* stream) {
  fprintf(stream, "<total type=\"%s\" count=\"%zu\" size=\"%zu\"/>\n", type, count, size);
}

void PrintSystem(size_t current, size_t most, FILE* stream) {
  fprintf(stream,
          "<system type=\"current\" size=\"%zu\"/>\n"
          "<system type=\"max\" size=\"%zu\"/>\n"
          "<aspace type=\"total\" size=\"%zu\"/>\n"
          "<aspace type=\"mprotect\" size=\"%zu\"/>\n",
          current, most, most, most);
}

}  // namespace

struct mallinfo2 HeapInfo() {
  struct mallinfo2 info = {};
  WithStatistics([&info](const StatsSnapshot& stats) {
    const FreeObjects free = CountFree(stats);
    info.arena = ArenaBytes(stats);
    info.ordblks = free.in_spans;
    info.smblks = free.cached;
    info.hblks = stats.heap.large_spans;
    info.hblkhd = stats.large_live();
    info.fsmblks = CachedBytes(stats);
    // Of blocks that were counted before their spans, some may be gone.
    info.uordblks = stats.small_live < info.arena ? stats.small_live : info.arena;
    info.fordblks = info.arena - info.uordblks;
    info.keepcost = stats.dirty();
  });
  return info;
}

struct mallinfo HeapInfoInInts() {
  const struct mallinfo2 wide = HeapInfo();
  struct mallinfo info = {};
  info.arena = Saturated(wide.arena);
  info.ordblks = Saturated(wide.ordblks);
  info.smblks = Saturated(wide.smblks);
  info.hblks = Saturated(wide.hblks);
  info.hblkhd = Saturated(wide.hblkhd);
  info.fsmblks = Saturated(wide.fsmblks);
  info.uordblks = Saturated(wide.uordblks);
  info.fordblks = Saturated(wide.fordblks);
  info.keepcost = Saturated(wide.keepcost);
  return info;
}

void PrintHeapInfo() {
  const struct mallinfo2 info = HeapInfo();
  char storage[512];
  TextBuffer text(storage, sizeof(storage));
  text << "Arena 0:\n";
  PrintRow(&text, "system bytes    ", info.arena);
  PrintRow(&text, "in use bytes    ", info.uordblks);
  text << "Total (incl. mmap):\n";
  PrintRow(&text, "system bytes    ", info.arena + info.hblkhd);
  PrintRow(&text, "in use bytes    ", info.uordblks + info.hblkhd);
  PrintRow(&text, "mmap regions    ", info.hblks);
  PrintRow(&text, "mmap bytes      ", info.hblkhd);
  os::WriteToStderr(text.text());
}

void PrintHeapXml(FILE* stream) {
  const XmlNumbers numbers = TakeXmlNumbers();
  fprintf(stream, "<malloc version=\"1\">\n<heap nr=\"0\">\n");
  PrintSizes(numbers, stream);
  PrintTotal("fast", numbers.free.cached, numbers.cached_bytes, stream);
  PrintTotal("rest", numbers.free.in_spans, numbers.rest, stream);
  PrintSystem(numbers.arena_bytes, numbers.most, stream);
  fprintf(stream, "</heap>\n");
  PrintTotal("fast", numbers.free.cached, numbers.cached_bytes, stream);
  PrintTotal("rest", numbers.free.in_spans, numbers.rest, stream);
  PrintTotal("mmap", numbers.large_spans, numbers.large_bytes, stream);
  PrintSystem(numbers.arena_bytes, numbers.most, stream);
  fprintf(stream, "</malloc>\n");
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/gperftools_summary.h"

#include "allocator/api/gperftools_properties.h"
#include "allocator/api/statistics.h"
#include "allocator/params/memory_geometry.h"

namespace spanmalloc {
namespace {

constexpr std::string_view kRuler = "------------------------------------------------\n";
constexpr std::string_view kSumRuler = "MALLOC:   ------------\n";

void RightAligned(TextBuffer* text, std::string_view word, size_t width) {
  for (size_t i = word.size(); i < width; ++i) *text << ' ';
  *text << word;
}

void Number(TextBuffer* text, uint64_t number, size_t width) {
  char storage[24];
  TextBuffer digits(storage, sizeof(storage));
  digits << number;
  RightAligned(text, digits.text(), width);
}

void Bytes(TextBuffer* text, char sign, size_t bytes, std::string_view label) {
  *text << "MALLOC: " << sign << ' ';
  Number(text, bytes, 12);
  char storage[24];
  TextBuffer mib(storage, sizeof(storage));
  mib << uint64_t{bytes >> 20} << '.' << uint64_t{(bytes & 0xfffff) * 10 >> 20};
  *text << " (";
  RightAligned(text, mib.text(), 7);
  *text << " MiB) " << label << '\n';
}

void Count(TextBuffer* text, uint64_t count, std::string_view label) {
  *text << "MALLOC:   ";
  Number(text, count, 12);
  *text << "              " << label << '\n';
}

void WriteSummary(const StatsSnapshot& stats, TextBuffer* text) {
  const size_t virtual_bytes = HeapBytes(stats) + stats.metadata();
  uint64_t spans = stats.heap.large_spans;
  for (const ClassStats& entry : stats.classes) spans += entry.spans;

  *text << kRuler;
  Bytes(text, ' ', stats.allocated(), "Bytes in use by application");
  Bytes(text, '+', stats.dirty(), "Bytes in page heap freelist");
  Bytes(text, '+', stats.rest_of_spans(), "Bytes in central cache freelist");
  Bytes(text, '+', stats.central_cached, "Bytes in transfer cache freelist");
  Bytes(text, '+', stats.thread_cached, "Bytes in thread cache freelists");
  Bytes(text, '+', stats.metadata(), "Bytes in malloc metadata");
  *text << kSumRuler;
  Bytes(text, '=', stats.resident(), "Actual memory used (physical + swap)");
  Bytes(text, '+', stats.retained(), "Bytes released to OS (aka unmapped)");
  *text << kSumRuler;
  Bytes(text, '=', virtual_bytes, "Virtual address space used");
  *text << "MALLOC:\n";
  Count(text, spans, "Spans in use");
  Count(text, stats.threads, "Thread heaps in use");
  Count(text, kPageSize, "Tcmalloc page size");
  *text << kRuler;
}

}  // namespace

void WriteGperftoolsSummary(TextBuffer* text) {
  WithStatistics([text](const StatsSnapshot& stats) { WriteSummary(stats, text); });
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// The kernel's texts for group_memory.h: memory.max, memory.high, memory.current, memory.stat and
// memory.pressure (version 2), memory.limit_in_bytes, memory.soft_limit_in_bytes,
// memory.usage_in_bytes and memory.stat (version 1).
#include "allocator/os/group_memory.h"

namespace spanmalloc::os {
namespace {

// Version 1 writes "no limit" as about 2^63.
constexpr size_t kLargestLimit = size_t{1} << 60;

// A text's limit; kNone for "max", "-1", nonsense, and what no machine has.
size_t Limit(std::string_view text) {
  const size_t bytes = LeadingNumber(text);
  return bytes == 0 || bytes >= kLargestLimit ? MemoryBound::kNone : bytes;
}

void Tighten(MemoryBound* bound, size_t limit, size_t used) {
  if (limit == MemoryBound::kNone) return;
  const size_t room = used < limit ? limit - used : 0;
  if (room < bound->room || !bound->exists()) *bound = {limit, room};
}

}  // namespace

// The kernel drops file cache that nobody used of late before it kills or waits for anybody.
size_t GroupMemory::DroppableFileCache(const ControlGroup& group) {
  std::string_view lines = groups_.Read(group, "memory.stat");
  const std::string_view wanted = group.v1() ? "total_inactive_file" : "inactive_file";
  while (!lines.empty()) {
    std::string_view line = CutText(&lines, '\n');
    if (CutText(&line, ' ') == wanted) return LeadingNumber(line);
  }
  return 0;
}

// "some avg10=1.23 avg60=...": 123.
uint32_t GroupMemory::Pressure(const ControlGroup& group) {
  std::string_view line = groups_.Read(group, "memory.pressure");
  if (CutText(&line, ' ') != "some" || CutText(&line, '=') != "avg10") return 0;
  std::string_view number = CutText(&line, ' ');
  const size_t whole = LeadingNumber(CutText(&number, '.'));
  if (number.size() > 2) number.remove_suffix(number.size() - 2);
  const size_t parts = LeadingNumber(number) * (number.size() == 1 ? 10 : 1);
  return whole >= 100 ? 10'000 : static_cast<uint32_t>(whole * 100 + parts);
}

void GroupMemory::Look(const ControlGroup& group, GroupMemoryReading* reading) {
  const std::string_view text =
      groups_.Read(group, group.v1() ? "memory.limit_in_bytes" : "memory.max");
  if (text.empty()) return;
  reading->told = true;
  const size_t max = Limit(text);
  const size_t high =
      Limit(groups_.Read(group, group.v1() ? "memory.soft_limit_in_bytes" : "memory.high"));
  const size_t least = max < high ? max : high;
  if (group.level != 0 && least == MemoryBound::kNone) return;
  size_t used =
      LeadingNumber(groups_.Read(group, group.v1() ? "memory.usage_in_bytes" : "memory.current"));
  if (group.level == 0 && used != 0) reading->usage = used;
  if (group.level == 0 && !group.v1()) reading->pressure = Pressure(group);
  // Asked only where it matters: the kernel adds it up for the answer.
  if (used > least - least / 4) {
    const size_t droppable = DroppableFileCache(group);
    used = droppable < used ? used - droppable : 0;
  }
  Tighten(&reading->max, max, used);
  Tighten(&reading->high, high, used);
}

GroupMemoryReading GroupMemory::Read() {
  GroupMemoryReading reading;
  groups_.ForEach("memory", [&](const ControlGroup& group) { Look(group, &reading); });
  return reading;
}

}  // namespace spanmalloc::os

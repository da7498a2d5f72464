// SPDX-License-Identifier: Apache-2.0
//
// The kernel's side of process_memory.h: /proc/self/statm, and /proc/self/pagemap, whose pages'
// top bits (present or not) every process may read of itself, and which a newer kernel scans by
// PAGEMAP_SCAN.
#include <fcntl.h>
#include <sys/ioctl.h>

#include <cstdint>
#include <string_view>

#include "allocator/os/process.h"
#include "allocator/os/process_memory.h"
#include "allocator/os/system_call.h"
#include "allocator/util/text_parts.h"

namespace spanmalloc::os {
namespace {

// PAGEMAP_SCAN, absent from older headers.
struct PageRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};
struct ScanArguments {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;  // set to where the scan ended
  uint64_t regions;
  uint64_t regions_length;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
constexpr long kPagemapScan = _IOWR('f', 16, ScanArguments);
constexpr uint64_t kHuge = uint64_t{1} << 6;

long OpenPagemap() {
  return SystemCall(SYS_openat, AT_FDCWD, AsArgument("/proc/self/pagemap"), O_RDONLY | O_CLOEXEC);
}

}  // namespace

size_t ProcessResident(TextFiles& files) {
  char text[128];
  std::string_view numbers(text, files.Read("/proc/self/statm", text, sizeof(text)));
  CutText(&numbers, ' ');
  return LeadingNumber(numbers) * SystemPageSize();
}

size_t PresentBytes(const void* begin, const void* end) {
  constexpr uint64_t kPresent = uint64_t{1} << 63;
  constexpr size_t kBatch = 64;
  const long file = OpenPagemap();
  if (IsError(file)) return 0;
  const size_t page = SystemPageSize();
  size_t index = reinterpret_cast<uintptr_t>(begin) / page;
  const size_t last = (reinterpret_cast<uintptr_t>(end) + page - 1) / page;
  size_t present = 0;
  while (index < last) {
    uint64_t entries[kBatch];
    const size_t want = last - index < kBatch ? last - index : kBatch;
    const long read = SystemCall(SYS_pread64, file, AsArgument(entries),
                                 static_cast<long>(want * sizeof(uint64_t)),
                                 static_cast<long>(index * sizeof(uint64_t)));
    if (IsError(read) || read <= 0) break;
    const size_t got = static_cast<size_t>(read) / sizeof(uint64_t);
    for (size_t i = 0; i < got; ++i) present += (entries[i] & kPresent) != 0;
    index += got;
  }
  SystemCall(SYS_close, file);
  return present * page;
}

size_t HugeBytes(const void* begin, const void* end) {
  if (begin == end) return 0;
  const long file = OpenPagemap();
  if (IsError(file)) return 0;
  constexpr size_t kRegions = 64;
  PageRegion regions[kRegions];
  ScanArguments scan = {.size = sizeof(ScanArguments),
                        .flags = 0,
                        .start = reinterpret_cast<uintptr_t>(begin),
                        .end = reinterpret_cast<uintptr_t>(end),
                        .walk_end = 0,
                        .regions = reinterpret_cast<uintptr_t>(regions),
                        .regions_length = kRegions,
                        .max_pages = 0,
                        .category_inverted = 0,
                        .category_mask = kHuge,
                        .category_anyof_mask = 0,
                        .return_mask = kHuge};
  size_t bytes = 0;
  while (scan.start < scan.end) {
    const long found = SystemCall(SYS_ioctl, file, kPagemapScan, AsArgument(&scan));
    if (IsError(found)) break;
    for (long i = 0; i < found; ++i) bytes += regions[i].end - regions[i].start;
    if (scan.walk_end <= scan.start) break;
    scan.start = scan.walk_end;
  }
  SystemCall(SYS_close, file);
  return bytes;
}

}  // namespace spanmalloc::os

// SPDX-License-Identifier: Apache-2.0
//
// glibc's own extensions, answered for this heap: without them a preloaded program would ask
// glibc's allocator about a heap that it doesn't use. All are thread-safe. Man pages mallinfo(3),
// malloc_trim(3), malloc_stats(3), malloc_info(3), mallopt(3).
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>

#include "allocator/api/exported.h"
#include "allocator/api/slow_path.h"
#include "allocator/api/statistics.h"
#include "allocator/os/raw_output.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

// The fields of struct mallinfo2 in our terms, in bytes.
struct mallinfo2 HeapInfo() {
  StatsSnapshot stats;
  TakeStatistics(&stats);
  struct mallinfo2 info = {};
  info.arena = stats.active() - stats.large_live();           // in spans of size classes
  info.hblks = stats.heap.large_spans;                        // blocks of their own
  info.hblkhd = stats.large_live();                           // bytes in them
  info.smblks = stats.thread_cached / kMinAlignment;          // upper bound of cached objects
  info.fsmblks = stats.thread_cached + stats.central_cached;  // cached, ready to be handed out
  info.uordblks = stats.allocated();                          // what the program holds
  info.fordblks = stats.active() - stats.allocated() + stats.dirty();  // free, perhaps resident
  info.keepcost = stats.dirty();  // what malloc_trim could give back
  for (size_t c = 1; c < kSizeClassEnd; ++c) info.ordblks += stats.classes[c].span_free;
  return info;
}

int Saturate(size_t value) {
  return value > static_cast<size_t>(INT_MAX) ? INT_MAX : static_cast<int>(value);
}

}  // namespace
}  // namespace spanmalloc

extern "C" {

// GNU. Gives free memory back to the kernel; `pad` bytes at the top, which this heap doesn't have,
// are ignored. 1 if anything that was resident was given back, else 0.
SPANMALLOC_EXPORT int malloc_trim(size_t) noexcept { return spanmalloc::PurgeAll() != 0; }

// GNU. The numbers of this heap, in bytes.
SPANMALLOC_EXPORT struct mallinfo2 mallinfo2() noexcept { return spanmalloc::HeapInfo(); }

// GNU. As mallinfo2; what doesn't fit an int is INT_MAX.
SPANMALLOC_EXPORT struct mallinfo mallinfo() noexcept {
  const struct mallinfo2 wide = spanmalloc::HeapInfo();
  struct mallinfo info;
  info.arena = spanmalloc::Saturate(wide.arena);
  info.ordblks = spanmalloc::Saturate(wide.ordblks);
  info.smblks = spanmalloc::Saturate(wide.smblks);
  info.hblks = spanmalloc::Saturate(wide.hblks);
  info.hblkhd = spanmalloc::Saturate(wide.hblkhd);
  info.usmblks = spanmalloc::Saturate(wide.usmblks);
  info.fsmblks = spanmalloc::Saturate(wide.fsmblks);
  info.uordblks = spanmalloc::Saturate(wide.uordblks);
  info.fordblks = spanmalloc::Saturate(wide.fordblks);
  info.keepcost = spanmalloc::Saturate(wide.keepcost);
  return info;
}

// GNU. A summary on stderr.
SPANMALLOC_EXPORT void malloc_stats() noexcept {
  const struct mallinfo2 info = spanmalloc::HeapInfo();
  char storage[512];
  spanmalloc::TextBuffer text(storage, sizeof(storage));
  text << "spanmalloc statistics (bytes)\n"
       << "  allocated by the program  " << uint64_t{info.uordblks} << "\n"
       << "  of that in large blocks   " << uint64_t{info.hblkhd} << "\n"
       << "  free, perhaps resident    " << uint64_t{info.fordblks} << "\n"
       << "  of that in caches         " << uint64_t{info.fsmblks} << "\n";
  spanmalloc::os::WriteToStderr(text.text());
}

// GNU. The numbers as XML. -1 and EINVAL unless `options` is 0.
SPANMALLOC_EXPORT int malloc_info(int options, FILE* stream) noexcept {
  if (options != 0) {
    errno = EINVAL;
    return -1;
  }
  spanmalloc::StatsSnapshot stats;
  spanmalloc::TakeStatistics(&stats);
  fprintf(stream, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
  for (size_t c = 1; c < spanmalloc::kSizeClassEnd; ++c) {
    const spanmalloc::ClassStats& entry = stats.classes[c];
    const size_t size = spanmalloc::kSizeClassTable[c].size;
    const size_t free = entry.thread_cached + entry.central_cached + entry.span_free;
    if (free == 0) continue;
    fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n", size, size,
            size * free, free);
  }
  fprintf(stream,
          "</sizes>\n"
          "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n"
          "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
          "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
          "<system type=\"current\" size=\"%zu\"/>\n"
          "<system type=\"max\" size=\"%zu\"/>\n"
          "<aspace type=\"total\" size=\"%zu\"/>\n"
          "<aspace type=\"mprotect\" size=\"%zu\"/>\n"
          "</heap>\n</malloc>\n",
          size_t{0}, stats.thread_cached + stats.central_cached, size_t{0}, stats.span_free,
          stats.heap.large_spans, stats.large_live(), stats.active() + stats.dirty(),
          stats.active() + stats.dirty(), stats.mapped(), stats.mapped());
  return 0;
}

// GNU. Every parameter of glibc's tunes a mechanism that this heap doesn't have; it is accepted,
// and nothing changes. 1, as for success, for the parameters that exist.
SPANMALLOC_EXPORT int mallopt(int parameter, int) noexcept {
  switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
      return 1;
    default:
      return 0;
  }
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/stats_dumps.h"

#include <errno.h>
#include <spanmalloc/spanmalloc.h>

#include <atomic>

#include "allocator/api/control_instance.h"
#include "allocator/api/runtime.h"

namespace spanmalloc {
namespace {

// Bytes after which the statistics are printed next.
constinit std::atomic<uint64_t> next_bytes{0};

uint64_t AllocatedSinceStart() {
  uint64_t bytes = 0;
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    CentralFreeListStats central = runtime.central.Stats(static_cast<SizeClass>(c));
    runtime.arenas.AddStats(static_cast<SizeClass>(c), &central);
    bytes += central.taken * kSizeClassTable[c].size;
  }
  return bytes + runtime.page_heap.Stats().large_allocated_pages * kPageSize;
}

}  // namespace

StatsCallback DefaultStatsCallback() {
  return malloc_message != nullptr ? malloc_message : &WriteStatsToStderr;
}

void DumpStatsAtExit() {
  if (!options.stats_print) return;
  PrintStats(control(), DefaultStatsCallback(), nullptr, options.stats_print_opts.text);
}

bool StatsIntervalIsOver() {
  const auto interval = static_cast<uint64_t>(options.stats_interval);
  const uint64_t bytes = AllocatedSinceStart();
  uint64_t next = next_bytes.load(std::memory_order_relaxed);
  if (next == 0) {
    // The first interval begins with the process.
    next_bytes.compare_exchange_strong(next, interval, std::memory_order_relaxed);
    next = next_bytes.load(std::memory_order_relaxed);
  }
  return bytes >= next &&
         next_bytes.compare_exchange_strong(next, bytes + interval, std::memory_order_relaxed);
}

void DumpStatsOfInterval() {
  const int saved = errno;  // the callback is the program's
  PrintStats(control(), DefaultStatsCallback(), nullptr, options.stats_interval_opts.text);
  errno = saved;
}

}  // namespace spanmalloc

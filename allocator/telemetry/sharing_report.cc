// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/sharing_report.h"

#ifdef SPANMALLOC_COUNTING
#include <iterator>

#include "allocator/os/clock.h"
#include "allocator/os/raw_output.h"
#include "allocator/telemetry/stats_writer.h"
#include "allocator/util/relaxed.h"
#include "allocator/util/sharing_counts.h"

namespace spanmalloc {
namespace {

constexpr const char* kEventNames[] = {"operation",    "slow_path",         "budget_write",
                                       "thread_write", "maintenance_write", "hint_read",
                                       "surplus_write"};
constexpr const char* kRankNames[] = {
    "control",        "memory_limits", "thread_registry", "thread_state", "explicit_caches",
    "explicit_cache", "shard_table",   "central",         "node_heaps",   "arena_heap",
    "page_heap",      "metadata",      "regions"};
static_assert(std::size(kEventNames) == kCountedEvents);
static_assert(std::size(kRankNames) == kLockRankCount);

template <typename Pick>
uint64_t Sum(Pick pick) {
  uint64_t sum = 0;
  for (const SharingOfThread& counts : sharing_counts.of_thread) {
    sum += RelaxedLoad(pick(counts));
  }
  return sum;
}

uint64_t CyclesPerMs() {
  constexpr uint64_t kSpinNs = 5'000'000;
  const uint64_t start_ns = os::MonotonicNs();
  const uint64_t start = CycleCounter();
  uint64_t passed;
  do {
    passed = os::MonotonicNs() - start_ns;
  } while (passed < kSpinNs);
  return (CycleCounter() - start) * 1'000'000 / passed;
}

void WriteToStderr(void*, const char* piece) { os::WriteToStderr(piece); }

}  // namespace

void ReportSharingCounts() {
  char buffer[8192];
  StatsWriter out(buffer, sizeof(buffer), &WriteToStderr, nullptr);
  out << "sharing cycles_per_ms " << CyclesPerMs() << "\n";
  for (size_t i = 0; i < kCountedEvents; ++i) {
    out << "sharing " << kEventNames[i] << " "
        << Sum([i](const SharingOfThread& counts) -> auto& { return counts.events[i]; }) << "\n";
  }
  for (size_t r = 0; r < kLockRankCount; ++r) {
    out << "sharing lock " << kRankNames[r];
    for (auto count :
         {&LockCounts::taken, &LockCounts::moved, &LockCounts::contended, &LockCounts::cycles}) {
      out << " " << Sum([r, count](const SharingOfThread& counts) -> auto& {
        return counts.locks[r].*count;
      });
    }
    for (size_t i = 0; i < LockCounts::kBuckets; ++i) {
      out << " " << Sum([r, i](const SharingOfThread& counts) -> auto& {
        return counts.locks[r].held[i];
      });
    }
    out << "\n";
  }
}

}  // namespace spanmalloc
#endif

// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/gperftools_properties.h"

#include "allocator/api/control_instance.h"
#include "allocator/api/runtime.h"
#include "allocator/api/statistics.h"
#include "allocator/control/mallctl.h"

namespace spanmalloc {
namespace {

// The dirty_decay_ms that a release rate of 1 stands for.
constexpr int64_t kDecayMsAtOne = 2000;
constexpr double kHighestRate = 1000;

int64_t DecayMs() {
  int64_t ms = 0;
  size_t length = sizeof(ms);
  MallctlByName(control(), "arena.0.dirty_decay_ms", &ms, &length, nullptr, 0);
  return ms;
}

bool SetDecayMs(int64_t ms) {
  return MallctlByName(control(), "arena.4096.dirty_decay_ms", nullptr, nullptr, &ms, sizeof(ms)) ==
         0;
}

size_t HardLimit() {
  size_t bytes = 0;
  size_t length = sizeof(bytes);
  MallctlByName(control(), "spanmalloc.limit.hard", &bytes, &length, nullptr, 0);
  return bytes;
}

bool SetHardLimit(size_t bytes) {
  return MallctlByName(control(), "spanmalloc.limit.hard", nullptr, nullptr, &bytes,
                       sizeof(bytes)) == 0;
}

// A number of the statistics; -1 if there is none of that name.
int64_t Statistic(const StatsSnapshot& stats, std::string_view name) {
  const auto signed_bytes = [](uint64_t number) { return static_cast<int64_t>(number); };
  if (name == "generic.current_allocated_bytes") return signed_bytes(stats.allocated());
  if (name == "generic.heap_size") return signed_bytes(HeapBytes(stats));
  if (name == "generic.total_physical_bytes") return signed_bytes(stats.resident());
  if (name == "tcmalloc.slack_bytes") return signed_bytes(stats.dirty() + stats.retained());
  if (name == "tcmalloc.central_cache_free_bytes") return signed_bytes(stats.rest_of_spans());
  if (name == "tcmalloc.transfer_cache_free_bytes") return signed_bytes(stats.central_cached);
  if (name == "tcmalloc.thread_cache_free_bytes" ||
      name == "tcmalloc.current_total_thread_cache_bytes") {
    return signed_bytes(stats.thread_cached);
  }
  if (name == "tcmalloc.pageheap_free_bytes") return signed_bytes(stats.dirty());
  if (name == "tcmalloc.pageheap_unmapped_bytes") return signed_bytes(stats.retained());
  if (name == "tcmalloc.pageheap_committed_bytes") {
    return signed_bytes(stats.active() + stats.dirty());
  }
  if (name == "tcmalloc.pageheap_scavenge_count") return signed_bytes(stats.heap.releases);
  if (name == "tcmalloc.pageheap_decommit_count") return signed_bytes(stats.heap.release_calls);
  if (name == "tcmalloc.pageheap_total_decommit_bytes") {
    return signed_bytes(stats.heap.released_pages * kPageSize);
  }
  if (name == "tcmalloc.impl.thread_cache_count") return signed_bytes(stats.threads);
  return -1;
}

int64_t ReadStatistic(std::string_view name) {
  int64_t number = -1;
  WithStatistics([&](const StatsSnapshot& stats) { number = Statistic(stats, name); });
  return number;
}

}  // namespace

size_t HeapBytes(const StatsSnapshot& stats) { return stats.heap.mapped_pages * kPageSize; }

bool ReadProperty(std::string_view name, size_t* value) {
  if (name == "tcmalloc.max_total_thread_cache_bytes") {
    *value = static_cast<size_t>(runtime.budget.total());
  } else if (name == "tcmalloc.aggressive_memory_decommit") {
    *value = DecayMs() == 0;
  } else if (name == "tcmalloc.heap_limit_mb") {
    *value = HardLimit() >> 20;
  } else if (name == "tcmalloc.sample_parameter") {
    *value = 0;  // nothing is sampled
  } else {
    const int64_t number = ReadStatistic(name);
    if (number < 0) return false;
    *value = static_cast<size_t>(number);
  }
  return true;
}

bool WriteProperty(std::string_view name, size_t value) {
  if (name == "tcmalloc.max_total_thread_cache_bytes") {
    constexpr size_t kMost = size_t{1} << 42;
    if (!control().target().Initialize()) return false;
    runtime.budget.SetTotal(static_cast<int64_t>(value < kMost ? value : kMost));
    // Or new threads would start with what earlier ones took of a larger budget.
    control().target().RunInside([] { runtime.registry.ReturnKept(); });
    return true;
  }
  if (name == "tcmalloc.aggressive_memory_decommit") {
    return SetDecayMs(value != 0 ? 0 : options.dirty_decay_ms);
  }
  if (name == "tcmalloc.heap_limit_mb") {
    return value < (size_t{1} << 27) && SetHardLimit(value << 20);
  }
  return false;
}

double ReleaseRate() {
  const int64_t ms = DecayMs();
  if (ms < 0) return 0;
  return ms == 0 ? kHighestRate : static_cast<double>(kDecayMsAtOne) / static_cast<double>(ms);
}

void SetReleaseRate(double rate) {
  if (!(rate > 0)) {
    SetDecayMs(-1);
  } else if (rate >= kHighestRate) {
    SetDecayMs(0);
  } else {
    constexpr double kLongest = 1e12;
    const double ms = static_cast<double>(kDecayMsAtOne) / rate;
    SetDecayMs(static_cast<int64_t>(ms < kLongest ? ms : kLongest));
  }
}

}  // namespace spanmalloc

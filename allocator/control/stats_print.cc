// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/stats_print.h"

#include <new>

#include "allocator/os/current_cpu.h"
#include "allocator/os/raw_output.h"
#include "allocator/telemetry/stats_json.h"
#include "allocator/telemetry/stats_text.h"

namespace spanmalloc {
namespace {

// One dump at a time, in the whole process.
struct PrintStorage {
  os::RankedLock lock{LockRank::kControl};
  ControlState state ABSL_GUARDED_BY(lock);
  char buffer[64 * 1024] ABSL_GUARDED_BY(lock) = {};
};

constinit PrintStorage storage;

void Print(const ControlTarget& target, const ControlState& state, const StatsParts& parts,
           StatsWriter& out) {
  const StatsDump dump = {
      .snapshot = state.snapshot,
      .rss = state.rss,
      .options = target.options,
      .version = kVersion,
      .cpu_source = CpuSourceName(),
      .uptime_ns = state.uptime_ns,
      .dirty_decay_ms = state.dirty_decay_ms,
      .muzzy_decay_ms = state.muzzy_decay_ms,
      .default_dirty_decay_ms = state.default_dirty_decay_ms,
      .default_muzzy_decay_ms = state.default_muzzy_decay_ms,
      .zero_reallocs = state.zero_reallocs,
      .arenas = target.ArenaCount(),
  };
  if (parts.json) {
    PrintStatsJson(dump, parts, out);
  } else {
    PrintStatsText(dump, parts, out);
  }
}

}  // namespace

void PrintStats(Control& control, StatsCallback callback, void* opaque, const char* letters) {
  if (!control.target().Initialize()) return;
  os::LockHolder hold(storage.lock);
  const int error = control.WithState([&](ControlState& state) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    control.NextEpoch(&state);
    control.Rss(&state);
    storage.state = state;
    return 0;
  });
  if (error != 0) return;
  StatsWriter out(storage.buffer, sizeof(storage.buffer), callback, opaque);
  Print(control.target(), storage.state, StatsParts::From(letters), out);
}

void WriteStatsToStderr(void*, const char* piece) { os::WriteToStderr(piece); }

const char* CpuSourceName() {
  switch (os::cpu_number_source()) {
    case os::CpuNumberSource::kConcurrencyId:
      return "concurrency id";
    case os::CpuNumberSource::kCpuId:
      return "cpu id";
    case os::CpuNumberSource::kGetCpu:
      return "sched_getcpu";
  }
  return "";
}

// The lock may have been another thread's, which doesn't exist here.
void ResetStatsPrintAfterFork() { new (&storage.lock) os::RankedLock(LockRank::kControl); }

}  // namespace spanmalloc

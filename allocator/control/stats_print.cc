// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/stats_print.h"

#include <new>

#include "allocator/control/stats_json.h"
#include "allocator/control/stats_open_metrics.h"
#include "allocator/control/stats_parts.h"
#include "allocator/control/stats_reader.h"
#include "allocator/control/stats_text.h"
#include "allocator/os/current_cpu.h"
#include "allocator/os/raw_output.h"
#include "allocator/os/virtual_memory.h"
#include "allocator/params/memory_geometry.h"

namespace spanmalloc {
namespace {

// What one call needs.
struct Storage {
  ControlState state;
  char buffer[512 * 1024];
};
// Whole pages, however large the system's are.
constexpr size_t kStorageBytes = RoundUp(sizeof(Storage), size_t{64} * 1024);

// Takes the numbers anew; into `copy`, if it isn't nullptr. False if they can't be had.
bool TakeNumbers(Control& control, ControlState* copy) {
  return control.WithState([&](ControlState& state) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    control.NextEpoch(&state);
    control.Rss(&state);
    if (copy != nullptr) *copy = state;
    return 0;
  }) == 0;
}

void Print(const StatsReader& reader, const StatsParts& parts, StatsWriter& out) {
  switch (parts.form) {
    case StatsForm::kText:
      return PrintStatsText(reader, parts, out);
    case StatsForm::kJson:
      return PrintStatsJson(reader, parts, out);
    case StatsForm::kOpenMetrics:
      return PrintStatsOpenMetrics(reader, parts, out);
  }
}

void PrintIn(void* memory, Control& control, StatsCallback callback, void* opaque,
             const StatsParts& parts) {
  auto* storage = new (memory) Storage;
  if (!TakeNumbers(control, &storage->state)) return;
  StatsWriter out(storage->buffer, sizeof(storage->buffer), callback, opaque);
  Print(StatsReader(control, &storage->state), parts, out);
}

void PrintInPieces(Control& control, StatsCallback callback, void* opaque,
                   const StatsParts& parts) {
  if (!TakeNumbers(control, nullptr)) return;
  char buffer[512];
  StatsWriter out(buffer, sizeof(buffer), callback, opaque);
  Print(StatsReader(control, nullptr), parts, out);
}

}  // namespace

void PrintStats(Control& control, StatsCallback callback, void* opaque, const char* letters) {
  if (!control.target().Initialize()) return;
  const StatsParts parts = StatsParts::From(letters);
  os::KernelMemory kernel;
  void* memory = kernel.Map(kStorageBytes);
  if (memory == nullptr) return PrintInPieces(control, callback, opaque, parts);
  PrintIn(memory, control, callback, opaque, parts);
  kernel.Unmap(memory, kStorageBytes);
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

}  // namespace spanmalloc

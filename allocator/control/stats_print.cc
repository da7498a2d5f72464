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

// Takes the numbers anew, and runs use(ControlState&) before anybody else can. Returns whether that
// is so, and what it returns.
template <typename Use>
bool TakeNumbers(Control& control, const StatsParts& parts, Use use) {
  bool used = false;
  control.WithState([&](ControlState& state) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    control.NextEpoch(&state);
    control.Rss(&state);
    if (parts.caches) control.Cpus(&state);
    used = use(state);
    return 0;
  });
  return used;
}

// Memory of the kernel's, for as long as this lasts.
class Mapping {
 public:
  Mapping() = default;
  ~Mapping() {
    if (memory_ != nullptr) kernel_.Unmap(memory_, bytes_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  // nullptr if there is none. Call once.
  void* Map(size_t bytes) {
    bytes_ = RoundUp(bytes, kUnit);
    memory_ = kernel_.Map(bytes_);
    return memory_;
  }

 private:
  // Whole pages, however large the system's are.
  static constexpr size_t kUnit = size_t{64} * 1024;

  os::KernelMemory kernel_;
  size_t bytes_ = 0;
  void* memory_ = nullptr;
};

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

void PrintInPieces(Control& control, StatsCallback callback, void* opaque,
                   const StatsParts& parts) {
  if (!TakeNumbers(control, parts, [](ControlState&) { return true; })) return;
  char buffer[512];
  StatsWriter out(buffer, sizeof(buffer), callback, opaque);
  Print(StatsReader(control, nullptr), parts, out);
}

}  // namespace

void PrintStats(Control& control, StatsCallback callback, void* opaque, const char* letters) {
  if (!control.target().Initialize()) return;
  const StatsParts parts = StatsParts::From(letters);
  Mapping for_storage;
  Mapping for_arenas;
  void* memory = for_storage.Map(sizeof(Storage));
  if (memory == nullptr) return PrintInPieces(control, callback, opaque, parts);
  auto* storage = new (memory) Storage;
  const auto copy = [&](ControlState& state) {
    storage->state = state;
    if (state.BytesApart() == 0) return true;
    void* apart = for_arenas.Map(state.BytesApart());
    if (apart != nullptr) storage->state.MoveApart(apart);
    return apart != nullptr;
  };
  if (!TakeNumbers(control, parts, copy)) return PrintInPieces(control, callback, opaque, parts);
  StatsWriter out(storage->buffer, sizeof(storage->buffer), callback, opaque);
  Print(StatsReader(control, &storage->state), parts, out);
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

// SPDX-License-Identifier: Apache-2.0
//
// prepare_trace --raw=FILE --trace=FILE: makes a trace for the replayer of what recorder.cc wrote.
// Prints how many events there are and the most bytes that were live. Frees of blocks that were
// made before the recording began are left out.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <unordered_map>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "benchmarks/traces/trace_format.h"
#include "benchmarks/traces/trace_writer.h"

ABSL_FLAG(std::string, raw, "", "the recorded file");
ABSL_FLAG(std::string, trace, "", "the file to write");

namespace spanmalloc::traces {
namespace {

// A recorded file, mapped.
const RawHeader* Open(const char* path) {
  const int file = open(path, O_RDONLY);
  const off_t size = lseek(file, 0, SEEK_END);
  void* mapped = file < 0 || size < static_cast<off_t>(sizeof(RawHeader))
                     ? MAP_FAILED
                     : mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED || static_cast<const RawHeader*>(mapped)->magic != kRawMagic) {
    fprintf(stderr, "%s: not a recorded file\n", path);
    exit(1);
  }
  return static_cast<const RawHeader*>(mapped);
}

class Preparer {
 public:
  explicit Preparer(TraceWriter& writer) : writer_(writer) {}

  void Take(const RawEvent& event) {
    const auto thread = static_cast<uint32_t>(event.thread) - 1;
    switch (static_cast<Operation>(event.operation)) {
      case Operation::kNone:
        break;
      case Operation::kAllocate:
        slots_[event.address] = writer_.Allocate(thread, event.size, event.alignment_log2);
        break;
      case Operation::kReallocBegin:
        moving_[thread] = Remove(event.address);
        break;
      case Operation::kReallocate:
        FinishReallocation(thread, event, moving_[thread]);
        break;
      case Operation::kFree: {
        const int64_t slot = Remove(event.address);
        if (slot != kUnknown) writer_.Free(thread, static_cast<uint32_t>(slot));
        break;
      }
      case Operation::kTime:
        // Two threads' events may have changed places.
        if (event.size > now_ms_) writer_.Time(now_ms_ = event.size);
        break;
    }
  }

 private:
  static constexpr int64_t kUnknown = -1;

  int64_t Remove(uint64_t address) {
    const auto found = slots_.find(address);
    if (found == slots_.end()) return kUnknown;
    const uint32_t slot = found->second;
    slots_.erase(found);
    return slot;
  }

  void FinishReallocation(uint32_t thread, const RawEvent& event, int64_t slot) {
    if (event.address == 0) {  // to size 0
      if (slot != kUnknown) writer_.Free(thread, static_cast<uint32_t>(slot));
    } else if (slot == kUnknown) {
      slots_[event.address] = writer_.Allocate(thread, event.size);
    } else {
      writer_.Reallocate(thread, static_cast<uint32_t>(slot), event.size);
      slots_[event.address] = static_cast<uint32_t>(slot);
    }
  }

  TraceWriter& writer_;
  uint64_t now_ms_ = 0;
  std::unordered_map<uint64_t, uint32_t> slots_;  // by address
  std::unordered_map<uint32_t, int64_t> moving_;  // by thread
};

}  // namespace
}  // namespace spanmalloc::traces

int main(int argc, char** argv) {
  using namespace spanmalloc::traces;
  absl::ParseCommandLine(argc, argv);
  const RawHeader* raw = Open(absl::GetFlag(FLAGS_raw).c_str());
  TraceWriter writer(absl::GetFlag(FLAGS_trace));
  Preparer preparer(writer);
  const auto* events = reinterpret_cast<const RawEvent*>(raw + 1);
  for (uint64_t i = 0; i < raw->events.load(); ++i) preparer.Take(events[i]);
  printf("%llu events\n", static_cast<unsigned long long>(writer.events()));
  return 0;
}

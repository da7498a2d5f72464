// SPDX-License-Identifier: Apache-2.0
//
// replay --trace=FILE: does again what a recorded program did with malloc, against whatever
// allocator is preloaded: the same blocks, each by a thread of its own as in the program, in the
// same order, never faster than they were recorded. Every block is filled. Resident memory and the
// bytes that the program holds are sampled all along, printed at the end as lines
// `timeline <milliseconds> <bytes live> <bytes resident>` on stderr.
//
// The replayer's own memory is the same under all allocators and isn't counted: its table of blocks
// is subtracted, files (programs, libraries) are left out, and while it replays it allocates
// nothing.

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/flags/flag.h"
#include "benchmarks/traces/trace_format.h"
#include "benchmarks/workloads/workload.h"

ABSL_FLAG(std::string, trace, "", "the trace to replay");
ABSL_FLAG(bool, pace, true, "never faster than it was recorded");
ABSL_FLAG(int, stats_at, -1,
          "after so many percent of the events, the library's malloc_stats_print on stderr");
ABSL_FLAG(bool, stats_at_peak, false,
          "at the end, the library's malloc_stats_print of when most was resident, on stderr");

// jemalloc's, if the preloaded library has it.
extern "C" __attribute__((weak)) void malloc_stats_print(void (*write)(void*, const char*),
                                                         void* opaque, const char* letters);

namespace spanmalloc::traces {
namespace {

using workloads::ReportMetric;

constexpr size_t kSteps = 400;  // samples, beside those of quiet times
constexpr size_t kMaxSamples = 20000;
constexpr uint64_t kQuietSampleMs = 50;
constexpr uint32_t kMaxReplayThreads = 64;
constexpr size_t kBatch = 4096;
constexpr size_t kMaxStats = 1 << 20;

[[noreturn]] void Fail(const char* what) {
  fprintf(stderr, "replay: %s\n", what);
  exit(1);
}

uint64_t NowMs() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1000 + static_cast<uint64_t>(time.tv_nsec) / 1000000;
}

// Anonymous resident memory, without allocating.
class ResidentMemory {
 public:
  ResidentMemory() : file_(open("/proc/self/statm", O_RDONLY | O_CLOEXEC)) {}
  uint64_t Bytes() const {
    char text[128] = {};
    if (pread(file_, text, sizeof(text) - 1, 0) <= 0) Fail("cannot read /proc/self/statm");
    unsigned long resident = 0;
    unsigned long of_files = 0;
    if (sscanf(text, "%*u %lu %lu", &resident, &of_files) != 2) Fail("statm?");
    return (resident - of_files) * page_;
  }

 private:
  const int file_;
  const uint64_t page_ = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
};

struct Block {
  unsigned char* start;
  size_t size;
};

struct Sample {
  uint64_t ms;
  uint64_t live;
  uint64_t resident;
};

// Memory of the replayer's own, resident from the start.
template <typename T>
T* OwnArray(size_t count, uint64_t* own) {
  constexpr size_t kPage = 4096;
  const size_t bytes = (std::max<size_t>(1, count) * sizeof(T) + kPage - 1) / kPage * kPage;
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (mapped == MAP_FAILED) Fail("no memory");
  *own += bytes;
  return static_cast<T*>(mapped);
}

class Replay {
 public:
  explicit Replay(const std::string& path) : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (file_ < 0 || read(file_, &header_, sizeof(header_)) != sizeof(header_) ||
        header_.magic != kTraceMagic) {
      Fail("not a trace");
    }
    blocks_ = OwnArray<Block>(header_.slots, &own_);
    samples_ = OwnArray<Sample>(kMaxSamples, &own_);
    batch_ = OwnArray<Event>(kBatch, &own_);
    step_ = std::max<uint64_t>(1, header_.events / kSteps);
    if (const int percent = absl::GetFlag(FLAGS_stats_at); percent >= 0) {
      stats_at_ = std::max<uint64_t>(1, header_.events * static_cast<uint64_t>(percent) / 100);
    }
    if (absl::GetFlag(FLAGS_stats_at_peak) && malloc_stats_print != nullptr) {
      stats_ = OwnArray<char>(kMaxStats, &own_);
    }
    start_ms_ = NowMs();
  }

  int threads() const {
    return static_cast<int>(std::clamp<uint64_t>(header_.threads, 1, kMaxReplayThreads));
  }

  // What thread `number` does: its events, when it is its turn.
  void Run(uint32_t number) {
    while (true) {
      for (uint32_t turn = turn_.load(std::memory_order_acquire); turn != number;
           turn = turn_.load(std::memory_order_acquire)) {
        if (turn == kEnd) return;
        turn_.wait(turn, std::memory_order_acquire);
      }
      uint32_t next = number;
      while (next == number) {
        if (at_ == in_batch_ && !Fetch()) {
          TakeSample();  // before the threads end
          next = kEnd;
          break;
        }
        const Event& event = batch_[at_];
        const auto operation = static_cast<Operation>(event.operation);
        if (operation != Operation::kTime && event.thread % kMaxReplayThreads != number) {
          next = event.thread % kMaxReplayThreads;
          break;
        }
        ++at_;
        Do(operation, event);
        if (++done_ % step_ == 0) TakeSample();
        if (done_ == stats_at_ && malloc_stats_print != nullptr) {
          malloc_stats_print(nullptr, nullptr, "gmabl");
        }
      }
      turn_.store(next, std::memory_order_release);
      turn_.notify_all();
    }
  }

  // The sum of a byte of every block that was freed or is left.
  uint64_t Finish() {
    Report();
    for (uint64_t slot = 0; slot < header_.slots; ++slot) {
      if (blocks_[slot].size != 0) checksum_ += blocks_[slot].start[blocks_[slot].size - 1];
    }
    return checksum_;
  }

 private:
  static constexpr uint32_t kEnd = ~uint32_t{0};

  bool Fetch() {
    const ssize_t bytes = read(file_, batch_, kBatch * sizeof(Event));
    if (bytes < 0) Fail("cannot read the trace");
    at_ = 0;
    in_batch_ = static_cast<size_t>(bytes) / sizeof(Event);
    return in_batch_ != 0;
  }

  void Do(Operation operation, const Event& event) {
    if (operation == Operation::kTime) return WaitUntil(event.size);
    Block& block = blocks_[event.slot];
    const auto tag = static_cast<unsigned char>(event.slot * 7 + 1);
    const size_t before = block.size;
    switch (operation) {
      case Operation::kAllocate:
        block.start = Allocate(event);
        block.size = event.size;
        if (block.start == nullptr) workloads::FailOutOfMemory();
        memset(block.start, tag, block.size);
        break;
      case Operation::kReallocate:
        block.start = static_cast<unsigned char*>(realloc(block.start, event.size));
        block.size = event.size;
        if (block.start == nullptr) workloads::FailOutOfMemory();
        if (block.size > before) memset(block.start + before, tag, block.size - before);
        break;
      case Operation::kFree:
        if (before != 0) checksum_ += block.start[0] + block.start[before - 1];
        free(block.start);
        block = {};
        break;
      default:
        Fail("an unknown event");
    }
    live_ += block.size - before;
  }

  static unsigned char* Allocate(const Event& event) {
    void* block = nullptr;
    if (event.alignment_log2 <= 4) {
      block = malloc(event.size);
    } else if (posix_memalign(&block, size_t{1} << event.alignment_log2, event.size) != 0) {
      block = nullptr;
    }
    return static_cast<unsigned char*>(block);
  }

  void WaitUntil(uint64_t ms) {
    // Quiet times are seen whole.
    if (ms >= last_sample_ms_ + kQuietSampleMs) TakeSample();
    now_ms_ = ms;
    if (!absl::GetFlag(FLAGS_pace)) return;
    const uint64_t now = NowMs();
    if (now >= start_ms_ + ms) {
      start_ms_ = now - ms;  // late; what follows keeps its distances
      return;
    }
    const uint64_t wait = start_ms_ + ms - now;
    const timespec time = {static_cast<time_t>(wait / 1000),
                           static_cast<long>(wait % 1000 * 1000000)};
    nanosleep(&time, nullptr);
  }

  void TakeSample() {
    if (sampled_ == kMaxSamples) return;
    last_sample_ms_ = now_ms_;
    const uint64_t resident = memory_.Bytes();
    samples_[sampled_++] = {now_ms_, live_, resident > own_ ? resident - own_ : 0};
    if (stats_ != nullptr && resident > stats_resident_) KeepStats(resident);
  }

  // What the library says about itself now, instead of what it said at a lower peak.
  void KeepStats(uint64_t resident) {
    stats_resident_ = resident + resident / 64;
    stats_bytes_ = 0;
    malloc_stats_print(&Append, this, "gmabl");
  }

  static void Append(void* replay, const char* text) {
    auto* self = static_cast<Replay*>(replay);
    const size_t bytes = std::min(strlen(text), kMaxStats - self->stats_bytes_);
    memcpy(self->stats_ + self->stats_bytes_, text, bytes);
    self->stats_bytes_ += bytes;
  }

  void Report() const {
    double live_time = 0;
    double resident_time = 0;
    Sample peak = {};
    for (size_t i = 0; i < sampled_; ++i) {
      const Sample& sample = samples_[i];
      fprintf(stderr, "timeline %llu %llu %llu\n", static_cast<unsigned long long>(sample.ms),
              static_cast<unsigned long long>(sample.live),
              static_cast<unsigned long long>(sample.resident));
      peak.live = std::max(peak.live, sample.live);
      peak.resident = std::max(peak.resident, sample.resident);
      const double ms = i == 0 ? 0 : static_cast<double>(sample.ms - samples_[i - 1].ms);
      live_time += ms * static_cast<double>(sample.live);
      resident_time += ms * static_cast<double>(sample.resident);
    }
    const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
    fwrite(stats_, 1, stats_bytes_, stderr);
    const Sample& last = samples_[sampled_ - 1];
    ReportMetric("live_peak_mib", mib(std::max(peak.live, header_.peak_live)));
    ReportMetric("live_final_mib", mib(last.live));
    ReportMetric("rss_peak_mib", mib(peak.resident));
    ReportMetric("rss_final_mib", mib(last.resident));
    ReportMetric("average_ratio", live_time == 0 ? 0 : resident_time / live_time);
  }

  const int file_;
  TraceHeader header_ = {};
  const ResidentMemory memory_;
  Block* blocks_ = nullptr;
  Sample* samples_ = nullptr;
  Event* batch_ = nullptr;
  uint64_t own_ = 0;
  uint64_t start_ms_ = 0;

  // Handed from thread to thread by turn_.
  std::atomic<uint32_t> turn_{0};
  size_t at_ = 0;
  size_t in_batch_ = 0;
  uint64_t done_ = 0;
  uint64_t step_ = 1;
  uint64_t stats_at_ = 0;
  char* stats_ = nullptr;
  size_t stats_bytes_ = 0;
  uint64_t stats_resident_ = 0;  // more than this is worth another look
  uint64_t now_ms_ = 0;
  uint64_t last_sample_ms_ = 0;
  uint64_t live_ = 0;
  uint64_t checksum_ = 0;
  size_t sampled_ = 0;
};

}  // namespace
}  // namespace spanmalloc::traces

int main(int argc, char** argv) {
  using namespace spanmalloc;
  workloads::Start(argc, argv);
  static traces::Replay replay(absl::GetFlag(FLAGS_trace));
  workloads::RunThreads(replay.threads(), [](int number) {
    replay.Run(static_cast<uint32_t>(number));
    return uint64_t{0};
  });
  return workloads::Finish("replay", replay.Finish());
}

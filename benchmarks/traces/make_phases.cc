// SPDX-License-Identifier: Apache-2.0
//
// make_phases --trace=FILE: a trace of a made-up server whose load changes. Each phase has sizes of
// its own, from small to large and back; two threads fill the heap, replace blocks at random, and
// at the end of the phase drop all but 5 % of them, which stay for all phases that follow. Between
// phases it is quiet for a while.

#include <algorithm>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "benchmarks/traces/trace_writer.h"
#include "benchmarks/workloads/random.h"

ABSL_FLAG(std::string, trace, "", "the file to write");
ABSL_FLAG(double, scale, 1, "multiplies the heap");

namespace spanmalloc::traces {
namespace {

struct Phase {
  size_t low;  // sizes, logarithms uniform
  size_t high;
  size_t mib;
};

constexpr Phase kPhases[] = {
    {16, 256, 96},        {1024, 8192, 192},     {64, 512, 128},
    {16384, 131072, 192}, {16, 1024, 96},        {4096, 32768, 160},
    {256, 2048, 128},     {65536, 1 << 20, 192}, {16, 4096, 64},
};
constexpr uint64_t kPhaseMs = 500;
constexpr uint64_t kQuietMs = 400;
constexpr uint64_t kLastQuietMs = 5000;
constexpr size_t kKeepOneOf = 20;
constexpr size_t kReplacements = 1;  // of each block, on average

class Server {
 public:
  Server(TraceWriter& writer, double scale) : writer_(writer), scale_(scale) {}

  void Run(const Phase& phase) {
    const auto bytes = static_cast<uint64_t>(static_cast<double>(phase.mib << 20) * scale_);
    const uint64_t start = now_;
    const uint64_t before = writer_.live();
    blocks_.clear();
    while (writer_.live() < before + bytes) {
      blocks_.push_back(Allocate(phase));
      Advance(start, (writer_.live() - before) * kPhaseMs / bytes / 2);
    }
    const size_t steps = blocks_.size() * kReplacements;
    for (size_t i = 0; i < steps; ++i) {
      uint32_t& block = blocks_[random_.Below(blocks_.size())];
      writer_.Free(thread_, block);
      block = Allocate(phase);
      Advance(start, kPhaseMs / 2 + i * kPhaseMs / steps / 2);
    }
    for (size_t i = blocks_.size(); i > 1; --i) {
      std::swap(blocks_[i - 1], blocks_[random_.Below(i)]);
    }
    const size_t kept = blocks_.size() / kKeepOneOf;
    TakeTurns();
    for (size_t i = kept; i < blocks_.size(); ++i) writer_.Free(thread_, blocks_[i]);
  }

  // A timer that needs a little memory goes on.
  void Rest(uint64_t for_ms) {
    for (uint64_t ms = 0; ms < for_ms; ms += 20) {
      writer_.Time(now_ += 20);
      writer_.Free(0, writer_.Allocate(0, 64));
    }
  }

 private:
  void TakeTurns() { thread_ = 1 - thread_; }
  uint32_t Allocate(const Phase& phase) {
    if (random_.Below(256) == 0) TakeTurns();
    return writer_.Allocate(thread_, random_.LogUniform(phase.low, phase.high));
  }

  void Advance(uint64_t start, uint64_t ms) {
    if (start + ms < now_ + 8) return;
    now_ = start + ms;
    writer_.Time(now_);
  }

  TraceWriter& writer_;
  const double scale_;
  workloads::Random random_{1};
  uint32_t thread_ = 0;
  uint64_t now_ = 0;
  std::vector<uint32_t> blocks_;
};

}  // namespace
}  // namespace spanmalloc::traces

int main(int argc, char** argv) {
  using namespace spanmalloc::traces;
  absl::ParseCommandLine(argc, argv);
  TraceWriter writer(absl::GetFlag(FLAGS_trace));
  Server server(writer, absl::GetFlag(FLAGS_scale));
  for (const Phase& phase : kPhases) {
    server.Run(phase);
    server.Rest(kQuietMs);
  }
  server.Rest(kLastQuietMs);
  return 0;
}

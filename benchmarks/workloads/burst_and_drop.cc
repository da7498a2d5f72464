// SPDX-License-Identifier: Apache-2.0
//
// burst_and_drop: a peak of load and what is left of it. Allocates a burst of blocks of all sizes,
// drops 95 % of them at random, does a light load, and repeats. Reports resident memory at each
// stage of the last repetition; --idle_ms lets the process idle there, for allocators that return
// memory later.

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

ABSL_FLAG(int, idle_ms, 0, "idle time after the last drop");

namespace spanmalloc::workloads {
namespace {

constexpr size_t kBursts = 3;
constexpr size_t kBurstBytes = 384 << 20;
constexpr size_t kMinSize = 16;
constexpr size_t kMaxSize = 64 << 10;
constexpr size_t kKeepOneOf = 20;
constexpr size_t kLightPairs = 500'000;

std::vector<void*> Burst(Random& random, size_t bytes) {
  std::vector<void*> blocks;
  for (size_t allocated = 0; allocated < bytes;) {
    const size_t size = random.LogUniform(kMinSize, kMaxSize);
    blocks.push_back(malloc(size));
    Touch(blocks.back(), size, random.Next(), 1024);
    allocated += size;
  }
  return blocks;
}

// Frees all but one of kKeepOneOf blocks, in random order.
uint64_t Drop(Random& random, std::vector<void*>& blocks) {
  for (size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[random.Below(i)]);
  const size_t kept = blocks.size() / kKeepOneOf;
  const std::vector<void*> dropped(blocks.begin() + kept, blocks.end());
  blocks.resize(kept);
  return FreeAll(dropped);
}

uint64_t LightLoad(Random& random) {
  uint64_t checksum = 0;
  for (size_t i = 0; i < kLightPairs; ++i) {
    const size_t size = random.LogUniform(16, 4096);
    void* block = malloc(size);
    Touch(block, size, i);
    checksum += FreeTagged(block);
  }
  return checksum;
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  Random random(1);
  uint64_t checksum = 0;
  std::vector<void*> survivors;
  for (size_t i = 0; i < kBursts; ++i) {
    checksum += FreeAll(survivors);
    survivors = Burst(random, Scaled(kBurstBytes));
    if (i + 1 == kBursts) ReportMetric("rss_full_mib", ResidentMib());
    checksum += Drop(random, survivors);
    if (i + 1 == kBursts) ReportMetric("rss_dropped_mib", ResidentMib());
    checksum += LightLoad(random);
    if (i + 1 == kBursts) {
      std::this_thread::sleep_for(std::chrono::milliseconds(absl::GetFlag(FLAGS_idle_ms)));
      ReportMetric("rss_idle_mib", ResidentMib());
    }
    checksum += LightLoad(random);
  }
  ReportMetric("rss_after_load_mib", ResidentMib());
  checksum += FreeAll(survivors);
  return Finish("burst_and_drop", checksum);
}

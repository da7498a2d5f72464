// SPDX-License-Identifier: Apache-2.0
//
// large_blocks: blocks of 5 to 25 MiB, each touched page by page, replaced at random.

#include <array>

#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

namespace spanmalloc::workloads {
namespace {

constexpr size_t kLiveBlocks = 16;
constexpr size_t kReplacements = 250;
constexpr size_t kMinSize = 5 << 20;
constexpr size_t kMaxSize = 25 << 20;
constexpr size_t kPage = 4096;

uint64_t Replace(size_t replacements) {
  Random random(1);
  std::array<void*, kLiveBlocks> live = {};
  uint64_t checksum = 0;
  for (size_t i = 0; i < replacements; ++i) {
    void*& place = live[random.Below(kLiveBlocks)];
    checksum += FreeTagged(place);
    const size_t size = random.Between(kMinSize, kMaxSize);
    place = malloc(size);
    Touch(place, size, random.Next(), kPage);
  }
  return checksum + FreeAll(live);
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  return Finish("large_blocks", Replace(Scaled(kReplacements)));
}

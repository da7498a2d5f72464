// SPDX-License-Identifier: Apache-2.0
//
// medium_passing: medium blocks and some large ones, exchanged between threads through shared
// slots, in rounds; the threads of a round die, the blocks in the slots stay for the next.

#include <atomic>
#include <memory>
#include <vector>

#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

namespace spanmalloc::workloads {
namespace {

constexpr size_t kSharedSlots = 1024;
constexpr size_t kPrivateSlots = 256;
constexpr size_t kRounds = 10;
constexpr size_t kBlocks = 3'000'000;  // In all threads and rounds.
constexpr size_t kMinSize = 64;
constexpr size_t kMaxSize = 16 << 10;
constexpr size_t kLargeEvery = 500;
constexpr size_t kMinLarge = 128 << 10;
constexpr size_t kMaxLarge = 2 << 20;

using Slots = std::vector<std::atomic<void*>>;

void* NewBlock(Random& random) {
  const size_t size = random.Below(kLargeEvery) == 0 ? random.LogUniform(kMinLarge, kMaxLarge)
                                                     : random.LogUniform(kMinSize, kMaxSize);
  void* block = malloc(size);
  Touch(block, size, random.Next(), 1024);
  return block;
}

uint64_t RunThread(Slots& shared, size_t blocks, uint64_t seed) {
  Random random(seed);
  std::vector<void*> own(kPrivateSlots);
  uint64_t checksum = 0;
  for (size_t i = 0; i < blocks; ++i) {
    void*& place = own[random.Below(kPrivateSlots)];
    checksum += FreeTagged(place);
    place = NewBlock(random);
    // Half of the time the new block changes places with one of another thread.
    if (random.Below(2) == 0) place = shared[random.Below(kSharedSlots)].exchange(place);
  }
  return checksum + FreeAll(own);
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  const int threads = ThreadCount();
  const size_t blocks = Scaled(kBlocks) / (kRounds * threads);
  Slots shared(kSharedSlots);
  uint64_t checksum = 0;
  for (size_t round = 0; round < kRounds; ++round) {
    checksum += RunThreads(
        threads, [&](int i) { return RunThread(shared, blocks, round * threads + i + 1); });
  }
  for (auto& slot : shared) checksum += FreeTagged(slot.load());
  return Finish("medium_passing", checksum);
}

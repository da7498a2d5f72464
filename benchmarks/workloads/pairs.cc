// SPDX-License-Identifier: Apache-2.0
//
// pairs: allocate, touch, free, with mixed sizes; every thread on its own. The shortest path of an
// allocator. A few blocks stay alive for a while, so that it is not always the same block.

#include <array>

#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

namespace spanmalloc::workloads {
namespace {

constexpr size_t kSizes = 4096;
constexpr size_t kPairs = 50'000'000;
constexpr size_t kKeepEvery = 16;
constexpr size_t kKept = 256;

// Most blocks of a program are small: 75 % up to 128 bytes, 20 % up to 1 KiB, 5 % up to 16 KiB.
std::array<size_t, kSizes> MakeSizes() {
  std::array<size_t, kSizes> sizes;
  Random random(1);
  for (size_t& size : sizes) {
    const size_t kind = random.Below(100);
    if (kind < 75) {
      size = random.Between(8, 128);
    } else if (kind < 95) {
      size = random.Between(129, 1024);
    } else {
      size = random.Between(1025, 16384);
    }
  }
  return sizes;
}

struct Block {
  void* start = nullptr;
  size_t size = 0;
};

template <typename Interface>
uint64_t RunPairs(const std::array<size_t, kSizes>& sizes, size_t pairs) {
  std::array<Block, kKept> kept = {};
  uint64_t checksum = 0;
  for (size_t i = 0; i < pairs; ++i) {
    const size_t size = sizes[i % kSizes];
    Block block = {Interface::Allocate(size), size};
    Touch(block.start, size, i, 1024);
    if (i % kKeepEvery == 0) std::swap(block, kept[(i / kKeepEvery) % kKept]);
    if (block.start == nullptr) continue;
    checksum += TagOf(block.start);
    Interface::Free(block.start, block.size);
  }
  for (const Block& block : kept) {
    if (block.start == nullptr) continue;
    checksum += TagOf(block.start);
    Interface::Free(block.start, block.size);
  }
  return checksum;
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  const auto sizes = MakeSizes();
  const size_t pairs = Scaled(kPairs) / ThreadCount();
  const uint64_t checksum = WithInterface([&]<typename Interface>() {
    // One thread means the main thread: the process stays single-threaded.
    if (ThreadCount() == 1) return RunPairs<Interface>(sizes, pairs);
    return RunThreads(ThreadCount(), [&](int) { return RunPairs<Interface>(sizes, pairs); });
  });
  return Finish("pairs", checksum);
}

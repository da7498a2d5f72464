// SPDX-License-Identifier: Apache-2.0
//
// random_lifetimes: a server whose threads come and go. Each thread replaces random blocks of its
// set by new ones of random size; then it dies and leaves the set to a successor, which frees what
// it did not allocate.

#include <atomic>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

namespace spanmalloc::workloads {
namespace {

constexpr size_t kBlocksPerThread = 4000;
constexpr size_t kMinSize = 8;
constexpr size_t kMaxSize = 1000;
constexpr size_t kGenerations = 25;
constexpr size_t kReplacements = 16'000'000;  // In all threads and generations.

struct Block {
  void* start;
  size_t size;
};

// What one line of successors hands on. Used by one thread at a time.
struct Line {
  explicit Line(uint64_t seed) : random(seed), blocks(kBlocksPerThread) {}

  Random random;
  std::vector<Block> blocks;
  size_t generations_left = kGenerations;
  uint64_t checksum = 0;
};

template <typename Interface>
Block NewBlock(Random& random) {
  const size_t size = random.Between(kMinSize, kMaxSize);
  const Block block = {Interface::Allocate(size), size};
  Touch(block.start, size, random.Next());
  return block;
}

template <typename Interface>
void LiveAndHandOver(Line* line, size_t replacements, std::latch* lines_left) {
  for (size_t i = 0; i < replacements; ++i) {
    Block& block = line->blocks[line->random.Below(kBlocksPerThread)];
    line->checksum += TagOf(block.start);
    Interface::Free(block.start, block.size);
    block = NewBlock<Interface>(line->random);
  }
  if (--line->generations_left == 0) {
    lines_left->count_down();
    return;
  }
  std::thread(LiveAndHandOver<Interface>, line, replacements, lines_left).detach();
}

template <typename Interface>
uint64_t RunLines(int count) {
  const size_t replacements = Scaled(kReplacements) / (kGenerations * count);
  std::latch lines_left(count);
  std::vector<std::unique_ptr<Line>> lines;
  for (int i = 0; i < count; ++i) {
    Line* line = lines.emplace_back(std::make_unique<Line>(i + 1)).get();
    for (Block& block : line->blocks) block = NewBlock<Interface>(line->random);
    std::thread(LiveAndHandOver<Interface>, line, replacements, &lines_left).detach();
  }
  lines_left.wait();
  uint64_t checksum = 0;
  for (const auto& line : lines) {
    checksum += line->checksum;
    for (const Block& block : line->blocks) {
      checksum += TagOf(block.start);
      Interface::Free(block.start, block.size);
    }
  }
  return checksum;
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  const uint64_t checksum =
      WithInterface([]<typename Interface>() { return RunLines<Interface>(ThreadCount()); });
  return Finish("random_lifetimes", checksum);
}

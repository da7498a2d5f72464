// SPDX-License-Identifier: Apache-2.0
//
// producer_consumer: a pipeline. Half of the threads only allocate and the other half only free, so
// that every block has to find its way back to the thread that allocates.

#include <array>
#include <memory>
#include <vector>

#include "benchmarks/workloads/channel.h"
#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

namespace spanmalloc::workloads {
namespace {

constexpr size_t kBatch = 256;
constexpr size_t kQueuedBatches = 16;
constexpr size_t kBlocks = 8'000'000;  // In all pairs of threads.

using Batch = std::array<void*, kBatch>;
using Pipe = Channel<Batch, kQueuedBatches>;

uint64_t Produce(Pipe& pipe, size_t batches, uint64_t seed) {
  Random random(seed);
  Batch batch;
  for (size_t i = 0; i < batches; ++i) {
    for (void*& block : batch) {
      // Messages of a server: 90 % up to 256 bytes, the others up to 2 KiB.
      const size_t size =
          random.Below(10) != 0 ? random.Between(16, 256) : random.Between(257, 2048);
      block = malloc(size);
      Touch(block, size, random.Next());
    }
    pipe.Push(batch);
  }
  return 0;
}

uint64_t Consume(Pipe& pipe, size_t batches) {
  uint64_t checksum = 0;
  Batch batch;
  for (size_t i = 0; i < batches; ++i) {
    pipe.Pop(&batch);
    checksum += FreeAll(batch);
  }
  return checksum;
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  const int pairs = ThreadCount() / 2;
  if (pairs < 1) {
    fprintf(stderr, "--threads must be at least 2\n");
    return 2;
  }
  std::vector<std::unique_ptr<Pipe>> pipes;
  for (int i = 0; i < pairs; ++i) pipes.push_back(std::make_unique<Pipe>());
  const size_t batches = Scaled(kBlocks) / (kBatch * pairs);
  const uint64_t checksum = RunThreads(2 * pairs, [&](int thread) {
    Pipe& pipe = *pipes[thread / 2];
    return thread % 2 == 0 ? Produce(pipe, batches, thread + 1) : Consume(pipe, batches);
  });
  return Finish("producer_consumer", checksum);
}

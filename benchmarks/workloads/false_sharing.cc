// SPDX-License-Identifier: Apache-2.0
//
// false_sharing: threads that write to small blocks of their own. An allocator that gives blocks of
// one cache line to two threads makes the line bounce between the processors.
//
// By default (active) each thread allocates, writes, frees. With --passive it first frees a block
// that the main thread allocated next to those of the other threads: an allocator that hands such a
// block out again spreads the line that the program had shared out.

#include <vector>

#include "absl/flags/flag.h"
#include "benchmarks/workloads/workload.h"

ABSL_FLAG(bool, passive, false, "begin with a block that shares its cache line");

namespace spanmalloc::workloads {
namespace {

constexpr size_t kBlockSize = 8;
constexpr size_t kBlocks = 80'000;  // In all threads.
constexpr size_t kWrites = 20'000;  // To one block.

uint64_t WriteOften(size_t blocks, size_t writes, void* first) {
  uint64_t checksum = 0;
  free(first);
  for (size_t i = 0; i < blocks; ++i) {
    auto* block = static_cast<volatile uint64_t*>(malloc(kBlockSize));
    if (block == nullptr) FailOutOfMemory();
    *block = i;
    for (size_t j = 0; j < writes; ++j) *block = *block + j;
    checksum += *block;
    free(const_cast<uint64_t*>(block));
  }
  return checksum;
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  std::vector<void*> first(ThreadCount());
  if (absl::GetFlag(FLAGS_passive)) {
    for (void*& block : first) {
      block = malloc(kBlockSize);
      Touch(block, kBlockSize, 0);
    }
  }
  const size_t blocks = Scaled(kBlocks) / ThreadCount();
  const uint64_t checksum =
      RunThreads(ThreadCount(), [&](int i) { return WriteOften(blocks, kWrites, first[i]); });
  return Finish("false_sharing", checksum);
}

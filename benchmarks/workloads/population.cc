// SPDX-License-Identifier: Apache-2.0
//
// population: what many blocks of one size cost. Allocates --count blocks of --size bytes, writes
// all of each, and reports resident memory per requested byte. The blocks are chained through their
// first word, so that nothing else is measured.

#include <cstring>

#include "absl/flags/flag.h"
#include "benchmarks/workloads/workload.h"

ABSL_FLAG(size_t, size, 64, "bytes of one block, at least 8");
ABSL_FLAG(size_t, count, 1'000'000, "blocks");

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  const size_t size = absl::GetFlag(FLAGS_size);
  const size_t count = Scaled(absl::GetFlag(FLAGS_count));
  if (size < sizeof(void*)) {
    fprintf(stderr, "--size must be at least %zu\n", sizeof(void*));
    return 2;
  }
  const double resident_before = ResidentMib();
  void* chain = nullptr;
  for (size_t i = 0; i < count; ++i) {
    void* block = malloc(size);
    if (block == nullptr) FailOutOfMemory();
    memset(block, static_cast<int>(i), size);
    *static_cast<void**>(block) = chain;
    chain = block;
  }
  const double resident_bytes = (ResidentMib() - resident_before) * (1 << 20);
  ReportMetric("overhead_percent", 100 * (resident_bytes / (double(size) * double(count)) - 1));
  uint64_t checksum = 0;
  while (chain != nullptr) {
    void* next = *static_cast<void**>(chain);
    checksum += size > sizeof(void*) ? static_cast<unsigned char*>(chain)[size - 1] : 1;
    free(chain);
    chain = next;
  }
  return Finish("population", checksum);
}

// SPDX-License-Identifier: Apache-2.0
//
// batch_handoff: batches of small blocks of growing size, freed in turn in the order of their
// allocation and against it. With --handoff=4 another thread frees every 4th batch; with 0, the
// default, every thread frees its own.

#include <array>
#include <memory>
#include <vector>

#include "absl/flags/flag.h"
#include "benchmarks/workloads/channel.h"
#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

ABSL_FLAG(size_t, handoff, 0, "another thread frees every n-th batch; 0: none");

namespace spanmalloc::workloads {
namespace {

constexpr size_t kBatch = 1024;
constexpr size_t kInbox = 4;
constexpr size_t kBlocks = 30'000'000;  // In all threads.
constexpr size_t kMinSize = 8;
constexpr size_t kMaxSize = 640;

using Batch = std::array<void*, kBatch>;
using Inbox = Channel<Batch, kInbox>;

uint64_t FreeLastToFirst(const Batch& batch) {
  uint64_t checksum = 0;
  for (size_t i = kBatch; i > 0; --i) checksum += FreeTagged(batch[i - 1]);
  return checksum;
}

uint64_t FreeInbox(Inbox& inbox) {
  uint64_t checksum = 0;
  Batch batch;
  while (inbox.TryPop(&batch)) checksum += FreeAll(batch);
  return checksum;
}

uint64_t RunThread(Inbox& own, Inbox& next, size_t batches, size_t handoff) {
  uint64_t checksum = 0;
  Batch batch;
  for (size_t i = 0; i < batches; ++i) {
    for (size_t j = 0; j < kBatch; ++j) {
      const size_t size = kMinSize + j * (kMaxSize - kMinSize) / kBatch;
      batch[j] = malloc(size);
      Touch(batch[j], size, i * kBatch + j);
    }
    // A full inbox means that its thread does not run now: free the batch here.
    const bool pass = handoff != 0 && i % handoff == 0;
    if (!pass || !next.TryPush(batch)) {
      checksum += i % 2 == 0 ? FreeAll(batch) : FreeLastToFirst(batch);
    }
    if (handoff != 0) checksum += FreeInbox(own);
  }
  return checksum;
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  const int threads = ThreadCount();
  const size_t handoff = absl::GetFlag(FLAGS_handoff);
  std::vector<std::unique_ptr<Inbox>> inboxes;
  for (int i = 0; i < threads; ++i) inboxes.push_back(std::make_unique<Inbox>());
  const size_t batches = Scaled(kBlocks) / (kBatch * threads);
  uint64_t checksum = RunThreads(threads, [&](int i) {
    return RunThread(*inboxes[i], *inboxes[(i + 1) % threads], batches, handoff);
  });
  for (auto& inbox : inboxes) checksum += FreeInbox(*inbox);
  return Finish("batch_handoff", checksum);
}

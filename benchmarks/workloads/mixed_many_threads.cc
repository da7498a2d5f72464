// SPDX-License-Identifier: Apache-2.0
//
// mixed_many_threads: sizes from 8 bytes to 16 KiB in every thread, in batches; a quarter of the
// batches goes to the next thread, which frees them. The work is the same for any number of
// threads; for the same live heap too, --live_blocks and --inbox must shrink as --threads grows.

#include <array>
#include <cstdio>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "benchmarks/workloads/channel.h"
#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

ABSL_FLAG(size_t, live_blocks, 2048, "blocks that each thread keeps");
ABSL_FLAG(size_t, inbox, 8, "batches that may wait for a thread, at most 8");
ABSL_FLAG(bool, take_turns, false, "threads begin together and yield after each batch");

namespace spanmalloc::workloads {
namespace {

constexpr size_t kBatch = 64;
constexpr size_t kInbox = 8;
constexpr size_t kBlocks = 10'000'000;  // In all threads.
constexpr size_t kPassEvery = 4;
constexpr size_t kMinSize = 8;
constexpr size_t kMaxSize = 16 << 10;

using Batch = std::array<void*, kBatch>;
using Inbox = Channel<Batch, kInbox>;

uint64_t FreeInbox(Inbox& inbox) {
  uint64_t checksum = 0;
  Batch batch;
  while (inbox.TryPop(&batch)) checksum += FreeAll(batch);
  return checksum;
}

// Puts each block of the batch in the place of a random one of `live`, which is freed.
uint64_t ReplaceRandom(const Batch& batch, std::vector<void*>& live, Random& random) {
  uint64_t checksum = 0;
  for (void* block : batch) {
    void*& place = live[random.Below(live.size())];
    checksum += FreeTagged(place);
    place = block;
  }
  return checksum;
}

uint64_t RunThread(Inbox& own, Inbox& next, size_t batches, uint64_t seed, std::latch& begin) {
  Random random(seed);
  std::vector<void*> live(absl::GetFlag(FLAGS_live_blocks));
  const size_t inbox = absl::GetFlag(FLAGS_inbox);
  const bool take_turns = absl::GetFlag(FLAGS_take_turns);
  uint64_t checksum = 0;
  Batch batch;
  if (take_turns) begin.arrive_and_wait();
  for (size_t i = 0; i < batches; ++i) {
    for (void*& block : batch) {
      const size_t size = random.LogUniform(kMinSize, kMaxSize);
      block = malloc(size);
      Touch(block, size, random.Next(), 1024);
    }
    if (i % kPassEvery == 0) {
      // A full inbox means that its thread does not run now: free the batch here.
      if (!next.TryPush(batch, inbox)) checksum += FreeAll(batch);
    } else {
      checksum += ReplaceRandom(batch, live, random);
    }
    checksum += FreeInbox(own);
    if (take_turns) std::this_thread::yield();
  }
  return checksum + FreeAll(live);
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  const int threads = ThreadCount();
  if (absl::GetFlag(FLAGS_live_blocks) < 1 || absl::GetFlag(FLAGS_inbox) < 1) {
    fprintf(stderr, "--live_blocks and --inbox must be positive\n");
    return 2;
  }
  std::vector<std::unique_ptr<Inbox>> inboxes;
  for (int i = 0; i < threads; ++i) inboxes.push_back(std::make_unique<Inbox>());
  const size_t batches = Scaled(kBlocks) / (kBatch * threads);
  std::latch begin(threads);
  uint64_t checksum = RunThreads(threads, [&](int i) {
    return RunThread(*inboxes[i], *inboxes[(i + 1) % threads], batches, i + 1, begin);
  });
  for (auto& inbox : inboxes) checksum += FreeInbox(*inbox);
  return Finish("mixed_many_threads", checksum);
}

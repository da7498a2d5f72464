// SPDX-License-Identifier: Apache-2.0
//
// Beyond a soft limit free memory goes back, although the decay time says to keep it; a soft limit
// refuses nothing; one that is set at run time acts at once, and is seen in the statistics.

#include "tests/override/check.h"
#include "tests/override/limits.h"

namespace {

constexpr size_t kLimit = 64u << 20;
constexpr size_t kBlock = 100000;
constexpr size_t kBlocks = 1000;  // 95 MiB
void* blocks[kBlocks];

void Take() {
  for (void*& block : blocks) {
    block = malloc(kBlock);
    CHECK(block != nullptr, "a soft limit refused memory");
    memset(block, 1, kBlock);
  }
}

void Free() {
  for (void* block : blocks) free(block);
}

}  // namespace

int main(int, char** argv) {
  check::RunAgainWith(argv, "SPANMALLOC_CONF", "soft_limit:67108864,dirty_decay_ms:-1");
  if (check::Statistic("spanmalloc.limit.soft") != kLimit) SKIP("the limit wasn't taken");
  Take();
  CHECK(check::ResidentBytes() > kLimit, "the test is too small");
  Free();
  // A program that goes on, in other sizes.
  for (int i = 0; i < 40; ++i) {
    for (void*& block : blocks) block = malloc(3000);
    Free();
    usleep(10000);
  }
  CHECK(check::ResidentBytes() < kLimit + (16u << 20), "%zu MiB are resident",
        check::ResidentBytes() >> 20);
  CHECK(check::Statistic("spanmalloc.limit.passes") > 0, "no pass is counted");
  CHECK(check::Statistic("spanmalloc.limit.pages.bytes") > (10u << 20), "nothing is counted");

  check::SetLimit("spanmalloc.limit.soft", 0);
  Take();
  Free();
  CHECK(check::ResidentBytes() > kLimit, "the limit wasn't lifted");
  check::SetLimit("spanmalloc.limit.soft", 24u << 20);
  CHECK(check::ResidentBytes() < (40u << 20), "%zu MiB are resident", check::ResidentBytes() >> 20);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// A process with one thread drops most of what it held, and from then on allocates only what its
// cache holds: now and then one small block, and many in a moment before that. Its memory goes
// back.

#include "tests/override/idle_process.h"

namespace {

void HitOften() {
  for (int i = 0; i < 20'000; ++i) free(check::Hide(malloc(100)));
}

void ExpectHitsToShrink(const char* when) {
  const size_t full = check::ResidentBytes();
  for (int i = 0; i < 400; ++i) {
    if (check::ResidentBytes() <= full - idle_process::kBurstBytes * 3 / 4) return;
    usleep(20000);
    free(check::Hide(malloc(100)));
  }
  FAIL("%s: %zu MiB stay resident", when, check::ResidentBytes() >> 20);
}

}  // namespace

int main() {
  alarm(120);
  HitOften();
  idle_process::BurstAndDrop();
  ExpectHitsToShrink("the first time");
  idle_process::BurstAndDrop();
  HitOften();
  ExpectHitsToShrink("the second time");
  CHECK(idle_process::CountThreads().all == 1, "there is another thread");
  return 0;
}

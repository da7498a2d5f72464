// SPDX-License-Identifier: Apache-2.0
//
// Resets no region at all.

#include "tests/misuse/regions.h"

int main() {
  const misuse::Regions regions;
  misuse::Announce(nullptr);
  regions.reset(nullptr);
  return 0;
}

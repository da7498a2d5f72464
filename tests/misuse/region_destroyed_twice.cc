// SPDX-License-Identifier: Apache-2.0
//
// Destroys a region twice.

#include "tests/misuse/regions.h"

int main() {
  const misuse::Regions regions;
  spanmalloc_region* region = regions.create(1 << 20, 0);
  misuse::Announce(region);
  regions.destroy(region);
  regions.destroy(region);
  return 0;
}

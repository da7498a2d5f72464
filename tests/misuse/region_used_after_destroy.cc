// SPDX-License-Identifier: Apache-2.0
//
// Allocates from a region that is gone, as inline code does.

#include "tests/misuse/regions.h"

int main() {
  const misuse::Regions regions;
  spanmalloc_region* region = regions.create(1 << 20, 0);
  misuse::Announce(region);
  regions.allocate(region, 100, 16);
  regions.destroy(region);
  if (region->next_ != region->limit_) return 1;
  regions.allocate(region, 100, 16);
  return 0;
}

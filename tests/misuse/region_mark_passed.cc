// SPDX-License-Identifier: Apache-2.0
//
// Rewinds a region to a mark that it was rewound past.

#include "tests/misuse/regions.h"

int main() {
  const misuse::Regions regions;
  spanmalloc_region* region = regions.create(1 << 20, 0);
  const spanmalloc_region_mark outer = regions.get_mark(region);
  regions.allocate(region, 100, 16);
  const spanmalloc_region_mark inner = regions.get_mark(region);
  regions.rewind(region, outer);
  regions.allocate(region, 1000, 16);
  misuse::Announce(reinterpret_cast<void*>(inner.position_));
  regions.rewind(region, inner);
  return 0;
}

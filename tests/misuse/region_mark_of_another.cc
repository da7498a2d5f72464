// SPDX-License-Identifier: Apache-2.0
//
// Rewinds a region to the mark of another one.

#include "tests/misuse/regions.h"

int main() {
  const misuse::Regions regions;
  spanmalloc_region* region = regions.create(1 << 20, 0);
  spanmalloc_region* other = regions.create(1 << 20, SPANMALLOC_REGION_SHARED);
  regions.allocate(region, 100, 16);
  regions.allocate(other, 100, 16);
  const spanmalloc_region_mark mark = regions.get_mark(other);
  misuse::Announce(reinterpret_cast<void*>(mark.position_));
  regions.rewind(region, mark);
  return 0;
}

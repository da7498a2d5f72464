// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/statistics.h"

#include "allocator/api/control_instance.h"

namespace spanmalloc {

void TakeStatistics(StatsSnapshot* snapshot) {
  *snapshot = {};
  if (control().target().Initialize()) control().TakeSnapshot(snapshot);
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/statistics.h"

namespace spanmalloc {

void TakeStatistics(StatsSnapshot* snapshot) {
  *snapshot = {};
  WithStatistics([snapshot](const StatsSnapshot& now) { *snapshot = now; });
}

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// What happens when the library is loaded: that part of the runtime is made, if an earlier malloc
// hasn't made it, without which pointers can't be looked up. And what happens when the process
// exits: the statistics are printed, if that is wanted.
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/api/stats_dumps.h"
#include "allocator/telemetry/sharing_report.h"

namespace spanmalloc {
namespace {

// 101 is the earliest priority that isn't the C library's own.
__attribute__((constructor(101))) void OnLoad() {
  SlowPathScope scope;
  if (!scope.nested()) runtime.EnsureLoaded();
}

// Run after the program's own destructors.
__attribute__((destructor(101))) void OnExit() {
  DumpStatsAtExit();
#ifdef SPANMALLOC_COUNTING
  ReportSharingCounts();
#endif
}

}  // namespace
}  // namespace spanmalloc

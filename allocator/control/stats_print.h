// SPDX-License-Identifier: Apache-2.0
//
// malloc_stats_print over a Control. Takes a new epoch, then prints it without holding the control
// lock, so that the callback may call mallctl and allocate; it must not print statistics itself.
// Nothing here allocates: the output is gathered in 64 KiB of static storage, and arrives in one
// call of the callback if it fits.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_STATS_PRINT_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_STATS_PRINT_H_

#include "allocator/control/control.h"
#include "allocator/telemetry/stats_writer.h"

namespace spanmalloc {

// `letters`: see StatsParts; nullptr for all, as text.
void PrintStats(Control& control, StatsCallback callback, void* opaque, const char* letters);

// A callback that writes to stderr.
void WriteStatsToStderr(void* opaque, const char* piece);

// What the CPU numbers come from, in words.
const char* CpuSourceName();

// In a forked child: the storage is free again.
void ResetStatsPrintAfterFork();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_STATS_PRINT_H_

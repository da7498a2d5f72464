// SPDX-License-Identifier: Apache-2.0
//
// malloc_stats_print over a Control: takes a new epoch and prints it, as text (stats_text), JSON
// (stats_json) or OpenMetrics (stats_open_metrics). Thread-safe.
//
// No lock is held while the callback runs: it may allocate, call mallctl, or print statistics
// itself. Nothing is allocated from the heap that is told of, and little of the stack is used: a
// call maps 512 KiB of its own for the output and a copy of the epoch's numbers, so that the output
// arrives in one call of the callback if it fits, and its numbers are of one moment. Where no
// memory can be mapped, the output comes in short pieces.
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

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_STATS_PRINT_H_

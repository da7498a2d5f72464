// SPDX-License-Identifier: Apache-2.0
//
// Statistics printed because an option asks for it: when the process exits (stats_print), and each
// time so many bytes have been allocated (stats_interval). They go to malloc_message, or to stderr
// if the program hasn't set it.
//
// What was allocated is looked at where slow paths do maintenance, some times a second: the bytes
// that thread caches fetched, and those of large blocks. Nothing is counted for it.
#ifndef SPANMALLOC_ALLOCATOR_API_STATS_DUMPS_H_
#define SPANMALLOC_ALLOCATOR_API_STATS_DUMPS_H_

#include "allocator/control/stats_print.h"

namespace spanmalloc {

// Where statistics go that have no callback of their own.
StatsCallback DefaultStatsCallback();

// Prints the statistics that opt.stats_print asks for; nothing if it doesn't. Called when the
// process exits.
void DumpStatsAtExit();

// Whether the statistics of opt.stats_interval are to be printed, by whoever asks first. Requires:
// the option isn't -1. Called inside a slow path.
bool StatsIntervalIsOver();

// Prints them. Called outside slow paths.
void DumpStatsOfInterval();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_STATS_DUMPS_H_

// SPDX-License-Identifier: Apache-2.0
//
// The counts of util/sharing_counts.h on stderr, at the exit of a program that runs on a counting
// build. Read by tools/scaling_counts.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_SHARING_REPORT_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_SHARING_REPORT_H_

namespace spanmalloc {

#ifdef SPANMALLOC_COUNTING
// One line for each kind of event, `sharing <event> <count>`, and for each rank of locks,
// `sharing lock <rank> <taken> <moved> <contended> <cycles> <LockCounts::held, each>`.
void ReportSharingCounts();
#endif

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_SHARING_REPORT_H_

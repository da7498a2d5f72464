// SPDX-License-Identifier: Apache-2.0
//
// The part of the text that jemalloc hasn't: where the resident memory is, and every number below
// spanmalloc.* by its name. Called by stats_text.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_STATS_OWN_TEXT_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_STATS_OWN_TEXT_H_

#include "allocator/control/stats_reader.h"
#include "allocator/telemetry/stats_writer.h"

namespace spanmalloc {

void PrintOwnText(const StatsReader& reader, const StatsParts& parts, StatsWriter& out);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_STATS_OWN_TEXT_H_

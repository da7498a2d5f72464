// SPDX-License-Identifier: Apache-2.0
//
// The floors below control as a counting build sees them (util/sharing_counts.h). Nobody links
// this: tools/scaling_counts alone builds such a library, and this file tells when it can't.
#include "allocator/telemetry/sharing_report.h"
#include "allocator/telemetry/stats_snapshot.h"

// SPDX-License-Identifier: Apache-2.0
//
// The summary of the heap that gperftools prints, whose lines programs look for: for GetStats and
// tc_malloc_stats.
#ifndef SPANMALLOC_ALLOCATOR_API_GPERFTOOLS_SUMMARY_H_
#define SPANMALLOC_ALLOCATOR_API_GPERFTOOLS_SUMMARY_H_

#include "allocator/util/text_buffer.h"

namespace spanmalloc {

void WriteGperftoolsSummary(TextBuffer* text);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_GPERFTOOLS_SUMMARY_H_

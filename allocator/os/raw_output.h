// SPDX-License-Identifier: Apache-2.0
//
// Text to standard error without stdio, and the end of the process after a report. Callable from
// anywhere in the allocator; allocates nothing, takes no lock, leaves errno alone.
#ifndef SPANMALLOC_ALLOCATOR_OS_RAW_OUTPUT_H_
#define SPANMALLOC_ALLOCATOR_OS_RAW_OUTPUT_H_

#include <string_view>

namespace spanmalloc::os {

// Writes `text` to file descriptor 2, in one write(2) where the kernel takes it whole. What can't
// be written (a closed descriptor, a full pipe that doesn't block) is dropped.
void WriteToStderr(std::string_view text);

// Keeps a second descriptor of what is standard error now, for text that is to be written when the
// program may have closed its own, as many do before they exit.
void KeepStderr();

// Writes `text`, then ends the process by SIGABRT.
[[noreturn]] void DieWith(std::string_view text);

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_RAW_OUTPUT_H_

// SPDX-License-Identifier: Apache-2.0
//
// The one line that a program gets when it hands the allocator a bad pointer: what is wrong, the
// pointer, what was expected and what was found. Called from the slow paths, whatever they hold;
// allocates nothing.
#ifndef SPANMALLOC_ALLOCATOR_TELEMETRY_CORRUPTION_REPORT_H_
#define SPANMALLOC_ALLOCATOR_TELEMETRY_CORRUPTION_REPORT_H_

#include "allocator/heap/bad_pointer.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {

// Composes the line, with its newline.
void DescribeBadPointer(const BadPointer& bad, TextBuffer* line);

// Whether a report ends the process (the default) or returns.
void SetAbortOnError(bool abort_on_error);

// What a report calls with the line, NUL-terminated, instead of writing it and ending the
// process; nullptr: nothing. The hook must not allocate: locks may be held.
void SetAbortHook(void (*hook)(const char* line));

// Writes the line to stderr, then aborts unless told to carry on; then the pointer is dropped.
void ReportBadPointer(const BadPointer& bad);

// The same with a line that the caller composed, with its newline and NUL-terminated.
void ReportFault(const char* line);

// Calls the hook with such a line. False if there is none.
bool CallAbortHook(const char* line);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_TELEMETRY_CORRUPTION_REPORT_H_

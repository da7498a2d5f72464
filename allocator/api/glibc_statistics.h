// SPDX-License-Identifier: Apache-2.0
//
// The numbers of this heap in the terms of glibc's allocator, for glibc_api.cc and
// gperftools_api.cc. docs/glibc.md says what stands for what.
#ifndef SPANMALLOC_ALLOCATOR_API_GLIBC_STATISTICS_H_
#define SPANMALLOC_ALLOCATOR_API_GLIBC_STATISTICS_H_

#include <malloc.h>
#include <stdio.h>

namespace spanmalloc {

// Man page mallinfo(3). As glibc's: arena is uordblks + fordblks, and large blocks are in hblks and
// hblkhd only. All zeros from inside a slow path.
struct mallinfo2 HeapInfo();

// The same; what doesn't fit an int is INT_MAX.
struct mallinfo HeapInfoInInts();

// What malloc_stats prints, in glibc's lines, to stderr.
void PrintHeapInfo();

// What malloc_info prints: glibc's XML.
void PrintHeapXml(FILE* stream);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_GLIBC_STATISTICS_H_

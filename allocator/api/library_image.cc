// SPDX-License-Identifier: Apache-2.0
//
// Where the shared library lies in memory, by the linker's names for the bounds of what it makes.
// The statistics count how much of it is resident. Linked into the shared library only: in a
// program that contains the allocator they would be the bounds of the program.
#include "allocator/api/control_instance.h"

extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[];
extern "C" __attribute__((visibility("hidden"))) const char _end[];

namespace spanmalloc {

constinit const LibraryImage library_image = {__ehdr_start, _end};

}  // namespace spanmalloc

// SPDX-License-Identifier: Apache-2.0
//
// The one Control and the one Options of the process, wired to the runtime. mallctl_api.cc calls
// them; the runtime loads the options when it is made, and reads them.
#ifndef SPANMALLOC_ALLOCATOR_API_CONTROL_INSTANCE_H_
#define SPANMALLOC_ALLOCATOR_API_CONTROL_INSTANCE_H_

#include "allocator/control/control.h"
#include "allocator/params/options.h"

namespace spanmalloc {

// Read only, once LoadControl has run.
extern __attribute__((visibility("hidden"))) Options options;

// Absent where the allocator isn't a shared library (library_image.cc).
extern __attribute__((weak, visibility("hidden"))) const LibraryImage library_image;

Control& control();

// Loads the options. Called when the runtime is loaded, once, before anything reads them.
void LoadControl();

// Starts the control floor, and the memory limits. Called when the runtime is made, once.
void StartControl();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_CONTROL_INSTANCE_H_

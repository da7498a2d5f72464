// SPDX-License-Identifier: Apache-2.0
//
// The names of this build that aren't symbols. In a build whose functions carry a prefix, what it
// reads of the outside carries it too: the settings of the process's own malloc aren't its own.
#ifndef SPANMALLOC_ALLOCATOR_API_BUILD_NAMES_H_
#define SPANMALLOC_ALLOCATOR_API_BUILD_NAMES_H_

#include "allocator/control/load_options.h"

namespace spanmalloc {

OptionSources NamesOfSources();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_BUILD_NAMES_H_

// SPDX-License-Identifier: Apache-2.0
//
// mallctl, mallctlnametomib and mallctlbymib over a Control: lookup of names and the rules by which
// values are checked and copied, which are jemalloc's to the letter, since its callers rely on
// them. Results are errno numbers; errno itself isn't touched. Thread-safe; nothing allocates.
//
// A value is copied out even if the caller's buffer has another size (then the shorter length, and
// EINVAL); a value of the wrong size is never taken in.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_MALLCTL_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_MALLCTL_H_

#include <cstddef>

#include "allocator/control/control.h"

namespace spanmalloc {

int MallctlByName(Control& control, const char* name, void* oldp, size_t* oldlenp, const void* newp,
                  size_t newlen);

// Fills mibp[0, *miblenp) from `name`, and sets *miblenp to how many were needed, if fewer. A name
// may stop inside the tree.
int MallctlNameToMib(Control& control, const char* name, size_t* mibp, size_t* miblenp);

int MallctlByMib(Control& control, const size_t* mib, size_t miblen, void* oldp, size_t* oldlenp,
                 const void* newp, size_t newlen);

struct CtlValue;

// Reads the row `row` of the table (ctl_table.h) as it stands in `state`, or in the current state
// if that is nullptr. `indices`: what stands for its indices, in order.
int ReadCtlRow(Control& control, ControlState* state, size_t row, const size_t* indices,
               CtlValue* value);

// Whether `index` may stand at component `d` of the row, which is an index.
bool CtlIndexExists(const ControlTarget& target, size_t row, size_t d, size_t index);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_MALLCTL_H_

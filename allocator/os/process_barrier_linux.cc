// SPDX-License-Identifier: Apache-2.0
//
// membarrier for process_barrier.h.
#include <linux/membarrier.h>

#include "allocator/os/process_barrier.h"
#include "allocator/os/system_call.h"

namespace spanmalloc::os {

bool RegisterProcessBarrier() {
  return SystemCall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

bool ProcessBarrier() { return SystemCall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0; }

}  // namespace spanmalloc::os

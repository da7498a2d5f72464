// SPDX-License-Identifier: Apache-2.0
//
// write(2) for raw_output.h.
#include <errno.h>
#include <stdlib.h>

#include "allocator/os/raw_output.h"
#include "allocator/os/system_call.h"

namespace spanmalloc::os {

void WriteToStderr(std::string_view text) {
  while (!text.empty()) {
    const long written =
        SystemCall(SYS_write, 2, AsArgument(text.data()), static_cast<long>(text.size()));
    if (written == -EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

void DieWith(std::string_view text) {
  WriteToStderr(text);
  abort();
}

}  // namespace spanmalloc::os

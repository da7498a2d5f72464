// SPDX-License-Identifier: Apache-2.0
//
// write(2) for raw_output.h.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include <atomic>

#include "allocator/os/raw_output.h"
#include "allocator/os/system_call.h"

namespace spanmalloc::os {
namespace {

constexpr long kStderr = 2;

// Where KeepStderr puts its descriptor, out of the way of a program's own.
constexpr long kMinKeptDescriptor = 200;

std::atomic<long> kept_stderr{-1};

}  // namespace

void KeepStderr() {
  const long descriptor = SystemCall(SYS_fcntl, kStderr, F_DUPFD_CLOEXEC, kMinKeptDescriptor);
  if (!IsError(descriptor)) kept_stderr.store(descriptor, std::memory_order_relaxed);
}

void WriteToStderr(std::string_view text) {
  long descriptor = kStderr;
  while (!text.empty()) {
    const long written =
        SystemCall(SYS_write, descriptor, AsArgument(text.data()), static_cast<long>(text.size()));
    if (written == -EINTR) continue;
    if (written == -EBADF && descriptor == kStderr) {
      descriptor = kept_stderr.load(std::memory_order_relaxed);
      if (descriptor >= 0) continue;
    }
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

void DieWith(std::string_view text) {
  WriteToStderr(text);
  abort();
}

}  // namespace spanmalloc::os

// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "allocator/os/system_call.h"
#include "allocator/os/text_files.h"

namespace spanmalloc::os {

size_t KernelFiles::Read(const char* path, char* text, size_t room) {
  const long file = SystemCall(SYS_openat, AT_FDCWD, AsArgument(path), O_RDONLY | O_CLOEXEC);
  if (IsError(file)) return 0;
  const long length = SystemCall(SYS_read, file, AsArgument(text), static_cast<long>(room));
  SystemCall(SYS_close, file);
  return IsError(length) ? 0 : static_cast<size_t>(length);
}

}  // namespace spanmalloc::os

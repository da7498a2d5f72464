// SPDX-License-Identifier: Apache-2.0
//
// The kernel's side of process_memory.h: /proc/self/statm, and /proc/self/pagemap, whose pages'
// top bits (present or not) every process may read of itself.
#include <fcntl.h>

#include <cstdint>
#include <string_view>

#include "allocator/os/process.h"
#include "allocator/os/process_memory.h"
#include "allocator/os/system_call.h"
#include "allocator/util/text_parts.h"

namespace spanmalloc::os {

size_t ProcessResident(TextFiles& files) {
  char text[128];
  std::string_view numbers(text, files.Read("/proc/self/statm", text, sizeof(text)));
  CutText(&numbers, ' ');
  return LeadingNumber(numbers) * SystemPageSize();
}

size_t PresentBytes(const void* begin, const void* end) {
  constexpr uint64_t kPresent = uint64_t{1} << 63;
  constexpr size_t kBatch = 64;
  const long file =
      SystemCall(SYS_openat, AT_FDCWD, AsArgument("/proc/self/pagemap"), O_RDONLY | O_CLOEXEC);
  if (IsError(file)) return 0;
  const size_t page = SystemPageSize();
  size_t index = reinterpret_cast<uintptr_t>(begin) / page;
  const size_t last = (reinterpret_cast<uintptr_t>(end) + page - 1) / page;
  size_t present = 0;
  while (index < last) {
    uint64_t entries[kBatch];
    const size_t want = last - index < kBatch ? last - index : kBatch;
    const long read = SystemCall(SYS_pread64, file, AsArgument(entries),
                                 static_cast<long>(want * sizeof(uint64_t)),
                                 static_cast<long>(index * sizeof(uint64_t)));
    if (IsError(read) || read <= 0) break;
    const size_t got = static_cast<size_t>(read) / sizeof(uint64_t);
    for (size_t i = 0; i < got; ++i) present += (entries[i] & kPresent) != 0;
    index += got;
  }
  SystemCall(SYS_close, file);
  return present * page;
}

}  // namespace spanmalloc::os

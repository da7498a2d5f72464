// SPDX-License-Identifier: Apache-2.0
//
// prlimit, the auxiliary vector, environ and readlink for process.h.
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include "allocator/os/process.h"
#include "allocator/os/system_call.h"

namespace spanmalloc::os {

size_t AddressSpaceLimit() {
  rlimit limit = {};
  const long result = SystemCall(SYS_prlimit64, 0, RLIMIT_AS, 0, AsArgument(&limit));
  if (IsError(result) || limit.rlim_cur == RLIM_INFINITY) return kNoLimit;
  return limit.rlim_cur;
}

uint64_t ProcessRandom() {
  uint64_t bits = 0;
  const unsigned long address = getauxval(AT_RANDOM);
  if (address != 0) memcpy(&bits, reinterpret_cast<const void*>(address), sizeof(bits));
  return bits;
}

const char* Environment(const char* name) {
  if (environ == nullptr || getauxval(AT_SECURE) != 0) return nullptr;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    size_t i = 0;
    while (name[i] != '\0' && (*entry)[i] == name[i]) ++i;
    if (name[i] == '\0' && (*entry)[i] == '=') return *entry + i + 1;
  }
  return nullptr;
}

bool LinkTarget(const char* path, char* text, size_t room) {
  const long length = SystemCall(SYS_readlinkat, AT_FDCWD, AsArgument(path), AsArgument(text),
                                 static_cast<long>(room));
  if (IsError(length) || static_cast<size_t>(length) == room) return false;
  text[length] = '\0';
  return true;
}

size_t SystemPageSize() {
  const unsigned long size = getauxval(AT_PAGESZ);
  return size == 0 ? 4096 : size;
}

}  // namespace spanmalloc::os

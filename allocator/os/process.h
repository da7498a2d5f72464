// SPDX-License-Identifier: Apache-2.0
//
// Facts about this process that the allocator reads at start: its limits, its random bytes, its
// environment. No call allocates or opens a file descriptor that outlives it.
#ifndef SPANMALLOC_ALLOCATOR_OS_PROCESS_H_
#define SPANMALLOC_ALLOCATOR_OS_PROCESS_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc::os {

inline constexpr size_t kNoLimit = ~size_t{0};

// The soft limit on the process's address space (RLIMIT_AS) in bytes, or kNoLimit.
size_t AddressSpaceLimit();

// 64 random bits the kernel gave this process at exec.
uint64_t ProcessRandom();

// The value of an environment variable, or nullptr; nullptr too in a process that runs with more
// privileges than its caller (setuid), whose environment isn't to be trusted. Usable before the
// C library is initialised.
const char* Environment(const char* name);

// Copies the target of the symbolic link `path` to `text` and ends it with a NUL. False if there is
// no such link, or if its target doesn't fit `room` bytes.
bool LinkTarget(const char* path, char* text, size_t room);

// The system's page size in bytes.
size_t SystemPageSize();

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_PROCESS_H_

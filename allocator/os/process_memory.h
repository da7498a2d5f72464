// SPDX-License-Identifier: Apache-2.0
//
// How much of the whole process is resident, and how much of a file that is mapped into it, as the
// kernel counts. Asked by the statistics, when somebody wants to see where the memory is. Reads
// files under /proc/self; allocates nothing.
#ifndef SPANMALLOC_ALLOCATOR_OS_PROCESS_MEMORY_H_
#define SPANMALLOC_ALLOCATOR_OS_PROCESS_MEMORY_H_

#include <cstddef>

#include "allocator/os/cpu_quota.h"

namespace spanmalloc::os {

// The process's resident memory in bytes; 0 if the kernel doesn't tell.
size_t ProcessResident(TextFiles& files);

// How many bytes of [begin, end), pages of a file or not, mapped or not, this process has in its
// page tables. (VirtualMemory::Resident counts what another process made resident, too, if it is a
// file's.) 0 if the kernel doesn't tell.
size_t PresentBytes(const void* begin, const void* end);

// How many bytes of [begin, end), mapped or not, are in transparent huge pages. 0 if the kernel
// doesn't tell, as before Linux 6.7.
size_t HugeBytes(const void* begin, const void* end);

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_PROCESS_MEMORY_H_
